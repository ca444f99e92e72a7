"""The stages as Prefect tasks: retried, their answers kept, every attempt recorded."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar, cast

from prefect import Task
from prefect.cache_policies import NO_CACHE, CacheKeyFnPolicy
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.results import ResultRecord, get_result_store  # pyright: ignore[reportPrivateImportUsage]
from pydantic import TypeAdapter

from knowledge.domain import Stage, Usage
from knowledge.errors import ItemGivenUp, KnowledgeError, ModelUnavailable, NotFound, StoreUnavailable
from knowledge.findings import FoundEmbeddings, FoundMentions
from knowledge.ids import OrganizationId
from knowledge.stages.calls import StageAnswer, StageCall
from knowledge.stages.stages import Stages
from resilience.retry import RetryPolicy
from tasks.activities import ActivityRecorder, Attempt
from tasks.cache_keys import result_key
from tasks.groups import Group, Grouping
from tasks.results import ResultStorage

# The item's own last failure, and the one before: nobody was answered in between.
_OUTAGE_FAILURES = 2
# Of the permits for embeddings, which all processes share, no document needs more.
_AT_ONCE = 2
# Quick for each chunk, so chunks share a task run.
_GROUPED = {Stage.ENTITIES, Stage.RELATIONS, Stage.EMBEDDINGS}
Result = TypeVar("Result")
# Kept: pydantic forgets a class that nobody holds, and makes it anew for each answer.
_Record = ResultRecord[str]
StageTask = Task[["_Item"], Coroutine[Any, Any, str | None]]
_Body = Callable[["_Item"], Coroutine[Any, Any, str | None]]


def durable(
    stages: Stages,
    organization_id: OrganizationId,
    storage: ResultStorage,
    recorder: ActivityRecorder,
    policy: RetryPolicy,
    fence: Callable[[], Awaitable[None]] | None = None,
) -> Stages:
    """The same stages, each call run as a Prefect task of the current flow run.

    Retryable errors are tried again by the policy, permanent ones never; attempts that failed before the process
    was last killed count. An answer is stored, verified, before its task completes; a call whose answer is stored
    already is not made again, by whichever run it was made. `storage` must be a saved block. `fence` is awaited
    before an answer is asked for.
    """
    return stages.run_by(_DurableRunner(organization_id, storage, recorder, policy, fence or _unfenced))


async def _unfenced() -> None:
    """Nobody else works on this."""


class _Item:
    """What a task is about. A plain object, because Prefect walks through collections and dataclasses."""

    def __init__(self, call: StageCall[Any], key: str | None) -> None:
        self.call = call
        self.key = key
        self.value: Any = None
        self.attempt: Attempt | None = None
        self.attempted = False
        self.asked = False


class _Together:
    """What a task of several items is about. A plain object, as `_Item` is."""

    def __init__(self, group: "Group[_Item, None]") -> None:
        self.group = group


class _DurableRunner:
    def __init__(
        self,
        organization_id: OrganizationId,
        storage: ResultStorage,
        recorder: ActivityRecorder,
        policy: RetryPolicy,
        fence: Callable[[], Awaitable[None]],
    ) -> None:
        self._organization_id = organization_id
        self._storage = storage
        self._recorder = recorder
        self._policy = policy
        self._fence = fence
        self._tasks: dict[tuple[Stage, int], StageTask] = {}
        self._groups: dict[Stage, Grouping[_Item, None]] = {}
        self._unanswered: set[str] = set()
        self._asking = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def __call__(self, call: StageCall[Result]) -> StageAnswer[Result]:
        if call.stage is not Stage.MENTIONS:
            return await self._answer(call)
        # What is asked here will be worked on by the stages after it.
        self._asking += 1
        self._quiet.clear()
        try:
            return await self._answer(call)
        finally:
            self._asking -= 1
            if not self._asking:
                self._quiet.set()

    async def _answer(self, call: StageCall[Result]) -> StageAnswer[Result]:
        key = result_key(self._organization_id, call.identity) if call.identity else None
        if key is not None:
            stored = await self._stored(call, key)
            if stored is not None:
                return stored
            why = self._recorder.why_given_up(key)
            if why is not None:
                raise ItemGivenUp(why)
        item = _Item(call, key)
        if call.stage in _GROUPED:
            await self._group_of(call.stage).call(item)
            return StageAnswer(cast(Result, item.value), cached=not item.asked)
        failed = min(self._recorder.failed_attempts(call.stage, call.item), self._policy.retries)
        stage_task = self._tasks.get((call.stage, failed)) or self._make_task(call, failed)
        payload = await stage_task(item)
        if item.value is None and payload is not None:
            item.value = _adapter(call.result_type).validate_json(payload)
        if not item.attempted:
            with self._recorder.attempt(call.stage, call.item, key) as attempt:
                attempt.usage = _usage_of(item.value)
                attempt.cached = True
        return StageAnswer(cast(Result, item.value), cached=not item.asked)

    async def _stored(self, call: StageCall[Result], key: str) -> StageAnswer[Result] | None:
        """The answer if it is stored: without a task run, which takes ten times as long as the reading."""
        try:
            payload = await self._look_up(key)
        except StoreUnavailable:
            # The task looks again, and is tried again.
            return None
        if payload is None:
            self._unanswered.add(key)
            return None
        value = _adapter(call.result_type).validate_json(payload)
        with self._recorder.attempt(call.stage, call.item, key) as attempt:
            attempt.usage = _usage_of(value)
            attempt.cached = True
        return StageAnswer(value, cached=True)

    def _group_of(self, stage: Stage) -> "Grouping[_Item, None]":
        """Where calls of a stage of chunks wait for those that come at about the same time."""
        if stage not in self._groups:
            run_together = Task(
                self._run_together,
                name=stage.value,
                task_run_name=_group_run_name,  # pyright: ignore[reportArgumentType]
                cache_policy=NO_CACHE,
                persist_result=False,
                retries=self._policy.retries,
                retry_delay_seconds=list(self._policy.delays_seconds()),
                retry_jitter_factor=self._policy.jitter or None,
                retry_condition_fn=is_worth_retrying,
            )
            self._groups[stage] = Grouping(lambda group: run_together(_Together(group)), self._quiet)
        return self._groups[stage]

    async def _run_together(self, together: "_Together") -> None:
        await together.group.run(self._run_one, self._may_succeed, _AT_ONCE)

    async def _run_one(self, item: _Item) -> None:
        await self._recorded(self._ask_and_keep if item.key else self._compute)(item)

    def _may_succeed(self, item: _Item, error: Exception) -> bool:
        """Whether a call is worth another attempt: those that failed in earlier processes count."""
        failed = self._recorder.failed_attempts(item.call.stage, item.call.item)
        return is_passing(error) and failed <= self._policy.retries

    def _make_task(self, call: StageCall[Any], failed: int) -> StageTask:
        """The stage's task for items of which `failed` attempts have failed: the retries that are left."""
        body = self._ask_and_keep if call.identity else self._compute
        made: StageTask = Task(
            self._recorded(body),
            name=call.stage.value,
            task_run_name=_task_run_name,  # pyright: ignore[reportArgumentType]
            cache_policy=CacheKeyFnPolicy(cache_key_fn=_cache_key) if call.identity else NO_CACHE,
            persist_result=bool(call.identity),
            result_storage=self._storage if call.identity else None,
            result_serializer="json",
            cache_result_in_memory=False,
            retries=self._policy.retries - failed,
            retry_delay_seconds=list(self._policy.delays_seconds()[failed:]),
            retry_jitter_factor=self._policy.jitter or None,
            retry_condition_fn=is_worth_retrying,
        )
        self._tasks[call.stage, failed] = made
        return made

    def _recorded(self, body: _Body) -> _Body:
        async def run_attempt(item: _Item) -> str | None:
            with self._recorder.attempt(item.call.stage, item.call.item, item.key) as attempt:
                item.attempted = item.asked = True
                item.attempt = attempt
                payload = await body(item)
                attempt.usage = _usage_of(item.value)
                attempt.cached = not item.asked
                return payload

        return run_attempt

    async def _answer_to(self, item: _Item) -> object:
        """What the model answers. The last attempt is not lost to an endpoint that has answered nobody since the one
        before: it goes on until somebody is answered, or the circuit opens and waits for it."""
        while True:
            try:
                return await item.call.run()
            except ModelUnavailable as error:
                failed = self._recorder.failed_attempts(item.call.stage, item.call.item)
                if failed < self._policy.retries or error.consecutive_failures < _OUTAGE_FAILURES:
                    raise
            await asyncio.sleep(max(self._policy.delays_seconds(), default=0.0))

    async def _compute(self, item: _Item) -> None:
        item.value = await item.call.run()

    async def _ask_and_keep(self, item: _Item) -> str:
        """Asks, unless the answer is stored after all: Prefect takes a failed look-up for a miss, we do not.

        Whether it is was looked up a moment ago for the first attempt, if the store was there.
        """
        assert item.key is not None
        adapter = _adapter(item.call.result_type)
        await self._fence()
        stored = None if self._is_known_unanswered(item.key) else await self._look_up(item.key)
        if stored is not None:
            item.asked = False
            item.value = adapter.validate_json(stored)
            return stored
        # An answer that an earlier attempt could not store is still at hand, and paid for.
        item.value = item.value or await self._answer_to(item)
        payload = adapter.dump_json(item.value).decode()
        content = get_result_store().create_result_record(payload, item.key).serialize()
        assert item.attempt is not None
        if await self._recorder.keep(item.attempt, _usage_of(item.value), content):
            self._storage.note_stored(item.key)
        # Without a look at the fence: the answer is paid for, and whoever stores it stores the same.
        await self._storage.awrite_path(item.key, content)
        return payload

    def _is_known_unanswered(self, key: str) -> bool:
        """Whether that was seen just now; it is not known twice."""
        is_known = key in self._unanswered
        self._unanswered.discard(key)
        return is_known

    async def _look_up(self, key: str) -> str | None:
        try:
            content = await self._storage.aread_path(key)
        except NotFound:
            return None
        payload: str = _Record.deserialize(content).result
        return payload


def _usage_of(value: object) -> Usage:
    return getattr(value, "usage", Usage())


async def is_worth_retrying(task: Task[..., Any], task_run: TaskRun, state: State[Any]) -> bool:
    """Whether a failed attempt may succeed when made again: our own errors say so, and broken connections."""
    error: object = await state.aresult(raise_on_failure=False)
    return is_passing(error)


def is_passing(error: object) -> bool:
    """Whether the same call may succeed later."""
    if isinstance(error, KnowledgeError):
        return error.retryable
    return isinstance(error, OSError)


def _cache_key(context: TaskRunContext, parameters: dict[str, Any]) -> str | None:
    item: _Item = parameters["item"]
    return item.key


def _group_run_name(parameters: dict[str, Any]) -> str:
    together: _Together = parameters["together"]
    first, *others = (item.call.label for item in together.group.calls)
    return f"{first} and {len(others)} more" if others else first


def _task_run_name(parameters: dict[str, Any]) -> str:
    item: _Item = parameters["item"]
    return item.call.label


_adapters: dict[Any, TypeAdapter[Any]] = {}


def prepare_readers() -> None:
    """Build what reads stored answers, which takes longer than reading some does."""
    for kind in (FoundMentions, FoundEmbeddings):
        _adapter(kind)


def _adapter(kind: type[Result]) -> TypeAdapter[Result]:
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]
