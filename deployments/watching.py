"""Watching submitted documents to their ends, through restarts of whatever is asked."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import PrefectHTTPStatusError

from deployments.glance import Course
from deployments.submission import Submitted
from knowledge.domain import WorkflowExecutionState
from knowledge.errors import ExecutionFailed, StoreUnavailable
from knowledge.ids import FlowRunId
from tables.ledger import Ledger
from tables.progress_stream import ProgressListener
from tables.session import Database

_SHOWN_SECONDS = 0.25
_LOOK_SECONDS = 2.0
_PAGE = 200
# How long something may not answer, and how long a flow run may have ended without its execution saying so:
# recovery resumes it, or closes its execution, after its grace.
_PATIENCE_SECONDS = 180.0
_UNRECOVERED_END_SECONDS = 300.0
_UNOPENED_END_SECONDS = 5.0


@dataclass(slots=True)
class Watched:
    """A submitted document as it stands; `ended_unrecorded` (monotonic) is since when only Prefect calls it over."""

    submitted: Submitted
    state: WorkflowExecutionState | None = None
    lost: str | None = None
    ended_unrecorded: float | None = None
    course: Course = field(default_factory=Course)

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.lost is not None or (self.state is not None and self.state.status.is_final)


async def watch(
    client: PrefectClient,
    database: Database,
    submitted: Sequence[Submitted],
    report: Callable[[Sequence[Watched]], None],
) -> tuple[Watched, ...]:
    """All documents at their ends; `report` is told several times a second how they stand.

    Raises:
        ExecutionFailed: database or Prefect API did not answer for minutes. The runs go on without us.
    """
    watched = tuple(Watched(item, state=item.refused) for item in submitted)
    async with ProgressListener(database) as listener:
        tasks = {asyncio.create_task(_follow(listener, database, item)) for item in watched if not item.is_over}
        tasks.add(asyncio.create_task(_look_for_unrecorded_ends(client, database, watched)))
        try:
            while not all(item.is_over for item in watched):
                report(watched)
                done, _ = await asyncio.wait(tasks, timeout=_SHOWN_SECONDS, return_when=asyncio.FIRST_EXCEPTION)
                for task in done:
                    task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    report(watched)
    return watched


async def _follow(listener: ProgressListener, database: Database, item: Watched) -> None:
    """Keeps the item as its execution is, from its first process to its end."""
    ledger, run_id = Ledger(database, item.submitted.organization_id), item.submitted.flow_run_id
    assert run_id is not None
    while not item.is_over:
        with suppress(StoreUnavailable):
            item.state = await asyncio.to_thread(ledger.find_by_flow_run, run_id)
        if item.state is None or item.is_over:
            await asyncio.sleep(_SHOWN_SECONDS)
            continue
        stream = listener.stream(item.submitted.organization_id)
        async with aclosing(stream.batches(item.state.id, item.course.number)) as batches:
            async for events in batches:
                item.course.take(events)
                if any(event.current is None for event in events):
                    with suppress(StoreUnavailable):
                        item.state = await asyncio.to_thread(ledger.load, item.state.id)


async def _look_for_unrecorded_ends(client: PrefectClient, database: Database, watched: Sequence[Watched]) -> None:
    """Finds those that nothing more will happen to, although their executions do not say so, for as long as there are
    others.

    Raises:
        ExecutionFailed: database or Prefect API did not answer for minutes.
    """
    last_answer = time.monotonic()
    while going_on := {run: item for item in watched if not item.is_over and (run := item.submitted.flow_run_id)}:
        try:
            for run_id, run in (await _flow_runs(client, list(going_on))).items():
                _judge(going_on[run_id], run)
            run_id, item = next(iter(going_on.items()))
            await asyncio.to_thread(Ledger(database, item.submitted.organization_id).find_by_flow_run, run_id)
            last_answer = time.monotonic()
        except (StoreUnavailable, httpx.HTTPError, PrefectHTTPStatusError) as error:
            if time.monotonic() - last_answer > _PATIENCE_SECONDS:
                raise ExecutionFailed(f"the stack does not answer any more: {error}") from error
        await asyncio.sleep(_LOOK_SECONDS)


async def _flow_runs(client: PrefectClient, run_ids: Sequence[FlowRunId]) -> Mapping[FlowRunId, FlowRun]:
    found: list[FlowRun] = []
    for start in range(0, len(run_ids), _PAGE):
        page = [UUID(str(run_id)) for run_id in run_ids[start : start + _PAGE]]
        found += await client.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=page)), limit=_PAGE)
    return {FlowRunId(str(run.id)): run for run in found}


def _judge(item: Watched, run: FlowRun) -> None:
    """A flow run that Prefect ended and that not even recovery takes up again is over, whatever its row says.

    One that ended otherwise than by a crash before it opened an execution was refused or cancelled.
    """
    if run.state is None or not run.state.is_final():
        item.ended_unrecorded = None
        return
    now = time.monotonic()
    item.ended_unrecorded = item.ended_unrecorded or now
    is_recoverable = item.state is not None or run.state.is_crashed()
    patience = _UNRECOVERED_END_SECONDS if is_recoverable else _UNOPENED_END_SECONDS
    if now - item.ended_unrecorded > patience:
        item.lost = f"the flow run ended as {run.state.name}: {run.state.message or 'no reason given'}"
