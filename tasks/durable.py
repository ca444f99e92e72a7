"""The stages as Prefect tasks: retried, their answers kept, every attempt recorded."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar, cast

from prefect import Task
from prefect._flow_run_suspension import raise_if_flow_run_suspension_requested
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.context import TaskRunContext
from prefect.results import ResultRecord, ResultRecordMetadata  # pyright: ignore[reportPrivateImportUsage]
from prefect.serializers import JSONSerializer
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
# Less than questions take: who asks the same at the same time asks twice in any case.
_JUST_NOW_SECONDS = 2.0
_QUIET_SECONDS = 2.0
Result = TypeVar("Result")
# Kept: pydantic forgets a class that nobody holds, and makes it anew for each answer.
_Record = ResultRecord[str]
_JSON = JSONSerializer()
# Whatever has an identity: made once, because that takes as long as reading many answers.
_ADAPTERS: dict[Any, TypeAdapter[Any]] = {kind: TypeAdapter(kind) for kind in (FoundMentions, FoundEmbeddings)}


@dataclass(frozen=True, slots=True)
class _Lane:
    """Whose calls share task runs: so many at most, and made so many at once (None: as many as come)."""

    name: str
    most_calls: int = 16
    at_once: int | None = None


# What is computed takes a thread for a moment. Of the permits for embeddings, which all processes share, no document
# needs more than two.
_FINDINGS = _Lane(f"{Stage.ENTITIES.value} and {Stage.RELATIONS.value}", most_calls=32, at_once=2)
_WHOLE = _Lane(f"{Stage.ASSEMBLE.value} and {Stage.RESOLVE.value}", most_calls=2)
_SPECIAL = {
    Stage.CHUNK: _Lane(Stage.CHUNK.value, most_calls=1),
    Stage.ENTITIES: _FINDINGS,
    Stage.RELATIONS: _FINDINGS,
    Stage.EMBEDDINGS: _Lane(Stage.EMBEDDINGS.value, at_once=2),
    Stage.ASSEMBLE: _WHOLE,
    Stage.RESOLVE: _WHOLE,
}
_LANES = {stage: _SPECIAL.get(stage, _Lane(stage.value)) for stage in Stage}


@asynccontextmanager
async def durable(
    stages: Stages,
    organization_id: OrganizationId,
    storage: ResultStorage,
    recorder: ActivityRecorder,
    policy: RetryPolicy,
    fence: Callable[[], Awaitable[None]] | None = None,
) -> AsyncGenerator[Stages]:
    """The same stages, each call run within a Prefect task of the current flow run; leaving this ends those tasks.

    Calls share task runs (`tasks.groups`). Retryable errors are tried again by the policy, in a task run of their own,
    permanent ones never; attempts that failed before the process was last killed count. An answer is stored, verified,
    before it is given; a call whose answer is stored already is not made again, by whichever run it was made. `storage`
    must be a saved block. `fence` is awaited before an answer is asked for.
    """
    runner = _DurableRunner(organization_id, storage, recorder, policy, fence or _unfenced)
    async with AsyncExitStack() as opened:
        for grouping in runner.groupings.values():
            await opened.enter_async_context(grouping)
        yield stages.run_by(runner, runner.expect)


async def _unfenced() -> None:
    """Nobody else works on this."""


class _Item:
    """What a task is about. A plain object, because Prefect walks through collections and dataclasses."""

    def __init__(self, call: StageCall[Any], key: str | None) -> None:
        self.call = call
        self.key = key
        self.value: Any = None
        self.asked = False


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
        self.groupings = {lane: self._grouping(lane) for lane in _LANES.values()}
        # When they were looked up, in the event loop's time.
        self._unanswered: dict[str, float] = {}
        self._asking = 0
        self._quiet = asyncio.Event()
        self._quiet.set()

    async def __call__(self, call: StageCall[Result]) -> StageAnswer[Result]:
        key = self._key(call)
        if key is not None:
            stored = None if self._is_known_unanswered(key) else await self._stored(call, key)
            if stored is not None:
                return stored
            why = self._recorder.why_given_up(key)
            if why is not None:
                raise ItemGivenUp(why)
        lane, item = _LANES[call.stage], _Item(call, key)
        if lane is _WHOLE:
            self._close_all_but(lane)
        async with self._questions_first(call.stage):
            await self.groupings[lane].call(item)
        return StageAnswer(cast(Result, item.value), cached=not item.asked)

    @asynccontextmanager
    async def _questions_first(self, stage: Stage) -> AsyncGenerator[None]:
        """Embeddings wait while questions are being answered, but not for long: where one endpoint takes the other down
        with it, fewer calls go into that, and vectors of several chunks share what they cost."""
        if stage is Stage.EMBEDDINGS:
            with suppress(TimeoutError):
                async with asyncio.timeout(_QUIET_SECONDS):
                    await self._quiet.wait()
        if stage is not Stage.MENTIONS:
            yield
            return
        self._asking += 1
        self._quiet.clear()
        try:
            yield
        finally:
            self._asking -= 1
            if not self._asking:
                self._quiet.set()

    async def expect(self, calls: Sequence[StageCall[Any]]) -> None:
        """Looks up in one query which of the calls have a stored answer, so that the others ask without a look."""
        keys = [key for call in calls if (key := self._key(call)) is not None]
        try:
            stored = await self._storage.find(keys)
        except StoreUnavailable:
            # Each call looks for itself, and waits.
            return
        now = asyncio.get_running_loop().time()
        self._unanswered.update((key, now) for key in keys if key not in stored)

    def _key(self, call: StageCall[Any]) -> str | None:
        return result_key(self._organization_id, call.identity) if call.identity else None

    def _close_all_but(self, last: _Lane) -> None:
        """What is about the whole document comes after all that is about its chunks."""
        for lane, grouping in self.groupings.items():
            if lane is not last:
                grouping.close()

    def _grouping(self, lane: _Lane) -> "Grouping[_Item, None]":
        def run(group: Group[_Item]) -> Awaitable[None]:
            return _task(lane.name, self._policy, group.failed)(group)

        return Grouping(run, self._make, self._failed_attempts, at_once=lane.at_once, most_calls=lane.most_calls)

    def _failed_attempts(self, item: _Item, error: Exception) -> int | None:
        """How many attempts at the item have failed, in earlier processes too; None if there is to be no other."""
        failed = self._recorder.failed_attempts(item.call.stage, item.call.item)
        return failed if is_passing(error) and failed <= self._policy.retries else None

    async def _stored(self, call: StageCall[Result], key: str) -> StageAnswer[Result] | None:
        """The answer if it is stored: without a task run, which takes ten times as long as the reading."""
        try:
            payload = await self._look_up(key)
        except StoreUnavailable:
            # The task looks again, and is tried again.
            return None
        if payload is None:
            self._unanswered[key] = asyncio.get_running_loop().time()
            return None
        value = _ADAPTERS[call.result_type].validate_json(payload)
        with self._recorder.attempt(call.stage, call.item, key) as attempt:
            attempt.usage = _usage_of(value)
            attempt.cached = True
        return StageAnswer(value, cached=True)

    async def _make(self, item: _Item) -> None:
        """An attempt, recorded.

        Raises:
            Pause: somebody has suspended the flow run, of which a task run that has begun is not told.
        """
        raise_if_flow_run_suspension_requested()
        with self._recorder.attempt(item.call.stage, item.call.item, item.key) as attempt:
            item.asked = True
            if item.key is None:
                item.value = await item.call.run()
            else:
                await self._ask_and_keep(item, item.key, attempt)
            attempt.usage = _usage_of(item.value)
            attempt.cached = not item.asked

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

    async def _ask_and_keep(self, item: _Item, key: str, attempt: Attempt) -> None:
        """Asks, unless the answer is stored after all.

        Whether it is was looked up a moment ago for the first attempt, if the store was there.
        """
        adapter = _ADAPTERS[item.call.result_type]
        await self._fence()
        stored = None if self._is_known_unanswered(key) else await self._look_up(key)
        self._unanswered.pop(key, None)
        if stored is not None:
            item.asked = False
            item.value = adapter.validate_json(stored)
            return
        # An answer that an earlier attempt could not store is still at hand, and paid for.
        item.value = item.value or await self._answer_to(item)
        content = _record(key, adapter.dump_json(item.value).decode())
        if await self._recorder.keep(attempt, _usage_of(item.value), content):
            self._storage.note_stored(key)
        # Without a look at the fence: the answer is paid for, and whoever stores it stores the same.
        await self._storage.awrite_path(key, content)

    def _is_known_unanswered(self, key: str) -> bool:
        """Whether that was seen just now, and no answer has come since in this process."""
        seen = self._unanswered.get(key)
        is_recent = seen is not None and asyncio.get_running_loop().time() - seen < _JUST_NOW_SECONDS
        return is_recent and not self._storage.has_stored(key)

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


def _record(key: str, payload: str) -> bytes:
    """The answer as Prefect would store a task's result."""
    return _Record(result=payload, metadata=ResultRecordMetadata(storage_key=key, serializer=_JSON)).serialize()


def _name_of(calls: Sequence[_Item]) -> str:
    first, *others = (item.call.label for item in calls)
    return f"{first} and {len(others)} more" if len(others) > 1 else " and ".join([first, *others])


def _task_run_name(parameters: dict[str, Any]) -> str:
    group: Group[_Item] = parameters["group"]
    return _name_of(group.calls)


async def _run_group(group: Group[_Item]) -> None:
    try:
        await group.run()
    finally:
        # It has taken in more calls since it was named.
        context = TaskRunContext.get()
        if context is not None and group.calls:
            context.task_run.name = _name_of(group.calls)


@cache
def _task(name: str, policy: RetryPolicy, failed: int) -> Callable[[Group[_Item]], Awaitable[None]]:
    """The task that runs groups whose calls have failed so many times: with the retries that are left."""
    return Task(
        _run_group,
        name=name,
        task_run_name=_task_run_name,  # pyright: ignore[reportArgumentType]
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=policy.retries - failed,
        retry_delay_seconds=list(policy.delays_seconds()[failed:]),
        retry_jitter_factor=policy.jitter or None,
        retry_condition_fn=is_worth_retrying,
    )
