"""Recovery, done: executions and Prefect's flow runs brought to agree, and dead runs back to work."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterName,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, State, StateType
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.states import AwaitingRetry, Cancelled, Completed, Failed

from knowledge.domain import ExecutionStatus, WorkflowExecutionState
from knowledge.errors import InvalidId, KnowledgeError
from knowledge.ids import FlowRunId, OrganizationId
from resilience.board import EndpointState
from tables.endpoints import EndpointStanding, endpoint_standings
from tables.fence import evict, held_fences
from tables.ledger import Ledger
from tables.oversight import ExecutionOverview, executions_of, unfinished_executions
from tables.session import Database
from tables.signals import Signals
from tasks.batch_drive import cancel_documents_of
from tasks.deferral import LETTING_GO_SECONDS, is_set_aside, wake
from tasks.events import announce_recorded_end
from tasks.recovery import Action, RecoveryPolicy, RunView, Situation, decide, is_cancelled_by_user
from tasks.unattended import act_unattended, tend_suspended

FLOWS, DEPLOYMENT = ["extraction", "extraction-batch"], "default"
_PAGE = 200
_UNSETTLED = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING, StateType.CRASHED]
_CANCELLED = {StateType.CANCELLING, StateType.CANCELLED}
_WAITING = {StateType.SCHEDULED, StateType.PENDING, StateType.PAUSED}
# A probe that waiting processes have not made by then is made by none; one that was woken to make it needs a while.
_OVERDUE_SECONDS = 3.0
_PROBE_AGAIN_SECONDS = 25.0
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Seen:
    """Since when (monotonic) a run's fence has been seen free; `moment` changes when something has happened to it."""

    moment: tuple[object, ...]
    since: float


class Reconciler:
    """Looks at all runs and does what is to be done. It remembers nothing but since when it saw a fence free.

    `worker_since` says since when there is the one worker that runs them, where that is known.
    """

    def __init__(
        self,
        client: PrefectClient,
        database: Database,
        policy: RecoveryPolicy,
        worker_since: Callable[[], datetime | None] = lambda: None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client = client
        self._database = database
        self._policy = policy
        self._worker_since = worker_since
        self._now = now
        self._seen: dict[FlowRunId, _Seen] = {}
        self._woken_at = -_PROBE_AGAIN_SECONDS

    async def reconcile(self) -> tuple[tuple[FlowRunId, Action], ...]:
        """One look at everything; what was done. One run's trouble does not keep others from being looked at.

        Raises:
            StoreUnavailable, ConfigurationError: the database did not answer, or cannot be used.
            httpx.HTTPError, PrefectHTTPStatusError: Prefect's API did not answer.
        """
        executions = await asyncio.to_thread(unfinished_executions, self._database)
        runs = await self._runs(executions)
        known = {run_id: execution for execution in executions if (run_id := execution.flow_run_id)}
        others = [run_id for run_id in runs if run_id not in known]
        if others:
            ended = await asyncio.to_thread(executions_of, self._database, others)
            known |= {run_id: execution for execution in ended if (run_id := execution.flow_run_id)}
        await self._tend_set_aside(runs, known)
        held = await asyncio.to_thread(held_fences, self._database, tuple(runs)) if runs else frozenset[FlowRunId]()
        self._seen = {run_id: seen for run_id, seen in self._seen.items() if run_id in runs}
        done: list[tuple[FlowRunId, Action]] = []
        for run_id, run in runs.items():
            execution = known.get(run_id)
            situation = await self._situation(run, execution, is_held=run_id in held)
            if situation.run.type is StateType.PAUSED and execution is not None and run_id not in held:
                await self._tend(run_id, execution)
            if decide(situation, self._policy) is not Action.WAIT:
                done.append((run_id, await self._handle(run_id, situation)))
        return tuple(each for each in done if each[1] is not Action.WAIT)

    async def _tend_set_aside(
        self, runs: Mapping[FlowRunId, FlowRun], known: Mapping[FlowRunId, ExecutionOverview]
    ) -> None:
        """Runs that wait for an endpoint: cancelled if a signal says so, and woken when it can be asked.

        While it is held, and nobody is there to make the probe that is due, one of them is woken to make it.
        """
        waiting = [(run_id, run) for run_id, run in runs.items() if run.state is not None and is_set_aside(run.state)]
        if not waiting:
            return
        standings = await asyncio.to_thread(endpoint_standings, self._database)
        held = [standing for standing in standings if standing.state is not EndpointState.CLOSED]
        for run_id, run in waiting:
            execution = known.get(run_id)
            if execution is None or run.state is None or _age(run.state) < LETTING_GO_SECONDS:
                continue
            signals = Signals(self._database, execution.organization_id)
            if await act_unattended(self._client, signals, execution.id, run_id):
                continue
            if not held:
                await wake(self._client, run_id, "The endpoint answers again.")
            elif any(map(_is_overdue, held)) and self._now() - self._woken_at > _PROBE_AGAIN_SECONDS:
                self._woken_at = self._now()
                await wake(self._client, run_id, "To see whether the endpoint answers again.")

    async def _tend(self, run_id: FlowRunId, execution: ExecutionOverview) -> None:
        """A run that is held for review: what signals ask for is done, should their sender have died over it."""
        if execution.status.is_final:
            return
        signals = Signals(self._database, execution.organization_id)
        try:
            await tend_suspended(self._client, signals, execution.id, run_id)
        except (KnowledgeError, httpx.HTTPError, PrefectHTTPStatusError) as error:
            _logger.warning("flow run %s: its signals will be looked at again: %s", run_id, error)

    @property
    def next_due_seconds(self) -> float | None:
        """In how many seconds the next full grace ends; None if none runs."""
        ends = [seen.since + self._policy.grace_seconds for seen in self._seen.values()]
        due = [end - self._now() for end in ends]
        return min((each for each in due if each > 0), default=None)

    async def _runs(self, executions: Iterable[ExecutionOverview]) -> dict[FlowRunId, FlowRun]:
        """The runs of unfinished executions, and those of our deployments that Prefect does not call over."""
        ids = [UUID(execution.flow_run_id) for execution in executions if execution.flow_run_id]
        found: list[FlowRun] = []
        for start in range(0, len(ids), _PAGE):
            wanted = FlowRunFilter(id=FlowRunFilterId(any_=ids[start : start + _PAGE]))
            found += await self._client.read_flow_runs(flow_run_filter=wanted, limit=_PAGE)
        unsettled = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=_UNSETTLED)))
        found += await self._client.read_flow_runs(
            flow_filter=FlowFilter(name=FlowFilterName(any_=FLOWS)),
            deployment_filter=DeploymentFilter(name=DeploymentFilterName(any_=[DEPLOYMENT])),
            flow_run_filter=unsettled,
            limit=_PAGE,
        )
        return {FlowRunId(str(run.id)): run for run in found if run.state is not None}

    async def _situation(self, run: FlowRun, execution: ExecutionOverview | None, *, is_held: bool) -> Situation:
        return Situation(
            run=await self._view(run, is_held=is_held),
            status=execution.status if execution else None,
            resumes=execution.resumes if execution else 0,
            free_seconds=self._free_seconds(run, execution, is_held=is_held),
        )

    async def _view(self, run: FlowRun, *, is_held: bool) -> RunView:
        state = run.state
        assert state is not None
        cancelled = False
        if state.type in _CANCELLED or not (is_held or state.type in _WAITING):
            history = await self._client.read_flow_run_states(run.id)
            cancelled = is_cancelled_by_user(sorted(history, key=_when))
        worker_since = self._worker_since()
        return RunView(
            type=state.type,
            name=state.name or state.type.value,
            seconds_in_state=_age(state),
            starts=run.run_count,
            is_resumable=run.deployment_id is not None,
            is_worker_dead=worker_since is not None and _when(state) < worker_since,
            cancelled_by_user=cancelled,
        )

    def _free_seconds(self, run: FlowRun, execution: ExecutionOverview | None, *, is_held: bool) -> float | None:
        run_id = FlowRunId(str(run.id))
        if is_held:
            self._seen.pop(run_id, None)
            return None
        moment = (run.run_count, execution and (execution.holder, execution.resumes, execution.status))
        seen = self._seen.get(run_id)
        if seen is None or seen.moment != moment:
            seen = self._seen[run_id] = _Seen(moment, self._now())
        return self._now() - seen.since

    async def _handle(self, run_id: FlowRunId, seen: Situation) -> Action:
        """Looks once more, alone, and acts; what was done."""
        try:
            async with self._alone_with(run_id) as alone:
                return await self._act(run_id, seen) if alone else Action.WAIT
        except (KnowledgeError, httpx.HTTPError, PrefectHTTPStatusError) as error:
            _logger.warning("flow run %s: tried in vain, and will try again: %s", run_id, error)
            return Action.WAIT

    @asynccontextmanager
    async def _alone_with(self, run_id: FlowRunId) -> AsyncGenerator[bool]:
        """Whether no other recovery is busy with this run, until the block ends."""
        lock = self._database.exclusively(f"knowledge.recovery:{run_id}")
        entered = await asyncio.to_thread(lock.__enter__)
        try:
            yield entered
        finally:
            await asyncio.to_thread(lock.__exit__, None, None, None)

    async def _act(self, run_id: FlowRunId, seen: Situation) -> Action:
        try:
            run = await self._client.read_flow_run(UUID(run_id))
        except ObjectNotFound:
            return Action.WAIT
        found = await asyncio.to_thread(executions_of, self._database, [run_id])
        execution = found[0] if found else None
        held = await asyncio.to_thread(held_fences, self._database, [run_id])
        now = await self._situation(run, execution, is_held=run_id in held)
        action = decide(now, self._policy)
        if action is Action.WAIT or now.run.type is not seen.run.type:
            return Action.WAIT
        await self._carry_out(action, run, execution)
        self._seen.pop(run_id, None)
        _logger.warning("flow run %s was %s: %s", run_id, now.run.name, action)
        return action

    async def _carry_out(self, action: Action, run: FlowRun, execution: ExecutionOverview | None) -> None:
        match action:
            case Action.RESUME | Action.START:
                if execution is not None:
                    signals = Signals(self._database, execution.organization_id)
                    if await act_unattended(self._client, signals, execution.id, FlowRunId(str(run.id))):
                        return
                    ledger = Ledger(self._database, execution.organization_id)
                    await asyncio.to_thread(ledger.await_process, execution.id, counted=action is Action.RESUME)
                await self._set_state(run, AwaitingRetry(message="Its process has died; it is resumed."))
            case Action.GIVE_UP:
                await self._end(run, execution, ExecutionStatus.FAILED, await self._why_given_up(run, execution))
            case Action.CANCEL:
                await self._cancel(run, execution)
            case Action.PUT_OUT:
                await self._cancel(run, execution)
                await asyncio.to_thread(evict, self._database, FlowRunId(str(run.id)))
            case Action.REPORT:
                assert execution is not None
                await self._report(run, execution)
            case Action.WAIT:
                pass

    async def _cancel(self, run: FlowRun, execution: ExecutionOverview | None) -> None:
        """A batch's documents first: once it has ended, nobody looks at it again."""
        reason = _cancellation(run)
        if execution is not None:
            await cancel_documents_of(
                self._client, self._database, execution.organization_id, execution.id, f"its batch was {reason}"
            )
        await self._end(run, execution, ExecutionStatus.CANCELLED, reason)

    async def _why_given_up(self, run: FlowRun, execution: ExecutionOverview | None) -> str:
        if run.deployment_id is None:
            return "the process died, and a run that was started without a deployment cannot be resumed"
        resumes = execution.resumes if execution else run.run_count - 1
        message = f"gave up after {resumes} resumes: the process died each time"
        if execution is None:
            return f"{message}, before it had begun"
        ledger = Ledger(self._database, execution.organization_id)
        last = await asyncio.to_thread(ledger.last_activity, execution.id)
        return message if last is None else f"{message}, last in stage {last[0]}, item {last[1]}"

    async def _end(
        self, run: FlowRun, execution: ExecutionOverview | None, status: ExecutionStatus, reason: str
    ) -> None:
        """The execution first, because it is the ledger; should Prefect not be told, the next look will do it."""
        if execution is None:
            execution = await asyncio.to_thread(self._open, run)
        if execution is not None:
            ended = await asyncio.to_thread(self._close, execution, status, reason)
            await asyncio.to_thread(announce_recorded_end, self._database, ended)
        await self._set_state(run, _final_state(status, reason))

    def _open(self, run: FlowRun) -> ExecutionOverview | None:
        """The execution of a run that died before it opened one; None if its parameters name no organisation."""
        try:
            organization_id = OrganizationId(str(run.parameters.get("organization", "default")))
        except InvalidId:
            return None
        run_id = FlowRunId(str(run.id))
        Ledger(self._database, organization_id).expect_execution(
            run_id, document_name=str(run.parameters.get("document") or run.name), parameters=run.parameters
        )
        found = executions_of(self._database, [run_id])
        return found[0] if found else None

    def _close(self, execution: ExecutionOverview, status: ExecutionStatus, reason: str) -> WorkflowExecutionState:
        ledger = Ledger(self._database, execution.organization_id)
        ledger.interrupt_running(execution.id)
        begun = execution.started_at or datetime.now(UTC)
        seconds = round((datetime.now(UTC) - begun).total_seconds(), 3)
        spent = replace(ledger.statistics(execution.id), seconds=seconds)
        return ledger.close_execution(execution.id, status, reason, spent)

    async def _report(self, run: FlowRun, execution: ExecutionOverview) -> None:
        ledger = Ledger(self._database, execution.organization_id)
        state = await asyncio.to_thread(ledger.load, execution.id)
        # Its process may have died before it said so.
        await asyncio.to_thread(announce_recorded_end, self._database, state)
        await self._set_state(run, _final_state(state.status, state.error))

    async def _set_state(self, run: FlowRun, state: State) -> None:
        await self._client.set_flow_run_state(run.id, state, force=True)


def _final_state(status: ExecutionStatus, reason: str | None) -> State:
    match status:
        case ExecutionStatus.COMPLETED:
            return Completed(message="The work was done.")
        case ExecutionStatus.CANCELLED:
            return Cancelled(message=reason)
        case _:
            return Failed(message=reason)


def _cancellation(run: FlowRun) -> str:
    state = run.state
    assert state is not None
    return f"cancelled by a user at {_when(state).isoformat(timespec='seconds')}"


def _age(state: State) -> float:
    return (datetime.now(UTC) - _when(state)).total_seconds()


def _is_overdue(standing: EndpointStanding) -> bool:
    """Whether nobody makes the probe that is due."""
    now = datetime.now(UTC)
    is_due = standing.probe_at is not None and (now - standing.probe_at).total_seconds() > _OVERDUE_SECONDS
    return is_due and (standing.probing_until is None or standing.probing_until < now)


def _when(state: State) -> datetime:
    return state.timestamp


def describe(done: Sequence[tuple[FlowRunId, Action]]) -> str:
    """What was done, for people; empty if nothing was."""
    return ", ".join(f"{action} {run_id}" for run_id, action in done)
