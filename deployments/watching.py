"""Watching submitted documents to their ends, through restarts of whatever is asked."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient
from prefect.exceptions import PrefectHTTPStatusError

from deployments.submission import Submitted
from knowledge.domain import ExtractionProgress, WorkflowExecutionState
from knowledge.errors import ExecutionFailed, StoreUnavailable
from tables.ledger import Ledger
from tables.session import Database

_POLL_SECONDS = 0.25
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
    progress: tuple[ExtractionProgress, ...] = ()
    lost: str | None = None
    ended_unrecorded: float | None = None

    @property
    def is_over(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.lost is not None or (self.state is not None and self.state.status.is_final)

    @property
    def fraction(self) -> float:
        """How much of the work is done, between 0 and 1: each chunk has its share of each stage seen so far."""
        if self.is_over:
            return 1.0
        model_stages = [p for p in self.progress if p.total > 1 or p.stage.value in _PER_CHUNK]
        total = max((p.total for p in model_stages), default=0) * len(_PER_CHUNK)
        return min(0.99, sum(p.completed for p in model_stages) / total) if total else 0.0


_PER_CHUNK = ("mentions", "entities", "relations", "embeddings")


async def watch(
    client: PrefectClient,
    database: Database,
    submitted: Sequence[Submitted],
    report: Callable[[Sequence[Watched]], None],
) -> tuple[Watched, ...]:
    """All documents at their ends; `report` is told of every look.

    Raises:
        ExecutionFailed: database or Prefect API did not answer for minutes. The runs go on without us.
    """
    watched = tuple(Watched(item, state=item.refused) for item in submitted)
    last_answer = time.monotonic()
    while not all(item.is_over for item in watched):
        try:
            for item in watched:
                if not item.is_over:
                    await _look(client, database, item)
            last_answer = time.monotonic()
        except (StoreUnavailable, httpx.HTTPError, PrefectHTTPStatusError) as error:
            if time.monotonic() - last_answer > _PATIENCE_SECONDS:
                raise ExecutionFailed(f"the stack does not answer any more: {error}") from error
        report(watched)
        await asyncio.sleep(_POLL_SECONDS)
    report(watched)
    return watched


async def _look(client: PrefectClient, database: Database, item: Watched) -> None:
    submitted = item.submitted
    assert submitted.flow_run_id is not None
    ledger = Ledger(database, submitted.organization_id)
    item.state = await asyncio.to_thread(ledger.find_by_flow_run, submitted.flow_run_id)
    if item.state is not None:
        item.progress = await asyncio.to_thread(ledger.load_progress, item.state.id)
    if item.state is None or not item.state.status.is_final:
        await _look_for_unrecorded_end(client, item)


async def _look_for_unrecorded_end(client: PrefectClient, item: Watched) -> None:
    """A flow run that Prefect ended and that not even recovery takes up again is over, whatever its row says.

    One that ended otherwise than by a crash before it opened an execution was refused or cancelled.
    """
    run = await client.read_flow_run(UUID(str(item.submitted.flow_run_id)))
    if run.state is None or not run.state.is_final():
        item.ended_unrecorded = None
        return
    now = time.monotonic()
    item.ended_unrecorded = item.ended_unrecorded or now
    is_recoverable = item.state is not None or run.state.is_crashed()
    patience = _UNRECOVERED_END_SECONDS if is_recoverable else _UNOPENED_END_SECONDS
    if now - item.ended_unrecorded > patience:
        item.lost = f"the flow run ended as {run.state.name}: {run.state.message or 'no reason given'}"
