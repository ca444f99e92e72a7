"""A pass over a batch: documents begun, so many at once, and looked after until all are at an end."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId
from prefect.client.schemas.objects import FlowRun

from knowledge.batches import (
    Batch,
    BatchDocument,
    DocumentState,
    FailurePolicy,
    furthest,
    moved,
    state_of_execution,
)
from knowledge.errors import KnowledgeError, SignalRefused
from knowledge.ids import ExecutionId, OrganizationId
from knowledge.signals import SignalName
from tables.batches import BatchStore, Standing
from tables.fence import held_fences
from tables.session import Database
from tables.signals import Signals
from tasks.batch_starts import Starter
from tasks.unattended import act_unattended, end_cancelled

MAX_ATTEMPTS = 3
"""How often a document that fails is extracted in one pass under `FailurePolicy.RETRY`."""
_LOOK_SECONDS = 1.0
_LOOKS_BETWEEN_RUNS = 10
_PORTION = 100


class BatchAborted(KnowledgeError):
    """A document failed, and the batch's policy is to end then."""


@dataclass(frozen=True, slots=True)
class Controls:
    """How a pass is held: `held` returns while this process has the batch; `is_paused` keeps it from beginning more."""

    held: Callable[[], Awaitable[None]]
    is_paused: Callable[[], bool]
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep


class Driver:
    """Level-triggered: every look asks the ledger how all documents under way stand, in one query."""

    def __init__(self, client: PrefectClient, database: Database, store: BatchStore, controls: Controls) -> None:
        self._client = client
        self._database = database
        self._store = store
        self._controls = controls
        self._looks = 0

    async def drain(self, batch: Batch) -> None:
        """Returns when nothing is under way any more, beginning nothing.

        Raises:
            BatchAborted: see `drive`.
        """
        while await self._look(batch):
            await self._controls.sleep(_LOOK_SECONDS)

    async def drive(self, batch: Batch, starter: Starter) -> None:
        """Returns when all documents of the latest pass are at an end.

        Raises:
            BatchAborted: a document failed, under `FailurePolicy.ABORT`.
        """
        while True:
            under_way = await self._look(batch)
            free = batch.max_in_flight - under_way
            begun = 0 if self._controls.is_paused() or free <= 0 else await self._begin(batch, starter, free)
            if not begun and not under_way and not self._controls.is_paused():
                break
            if begun < free or free <= 0:
                await self._controls.sleep(_LOOK_SECONDS if under_way or not begun else 0)
        await self.settle(batch)

    async def settle(self, batch: Batch) -> None:
        """Has what completed documents said before, with other content, taken out of the graph."""
        while found := await asyncio.to_thread(self._store.unsettled, batch.id, _PORTION):
            await self._settle(batch, found)

    async def retract_missing(self, batch: Batch) -> int:
        """Takes out of the graph what is not among the batch's sources any more; how many documents that were."""
        retracted = 0
        while found := await asyncio.to_thread(self._store.missing, batch.id, batch.passes, _PORTION):
            await self._controls.held()
            for document in found:
                await asyncio.to_thread(self._store.retract_published, document, batch.id)
            await asyncio.to_thread(self._store.mark_retracted, found)
            retracted += len(found)
        return retracted

    async def cancel(self, batch: Batch, reason: str) -> None:
        """Begins nothing more and tells what is under way to cancel; what it has been answered is kept."""
        await _cancel_documents(self._client, self._database, batch, reason)

    async def _begin(self, batch: Batch, starter: Starter, free: int) -> int:
        """Begins up to `free` documents; how many it has looked at."""
        found = await asyncio.to_thread(self._store.pending, batch.id, batch.passes, free)
        begun = [await starter.begin(batch, document) for document in found]
        await self._controls.held()
        await asyncio.to_thread(self._store.save, begun)
        refused = [document for document in begun if document.state is DocumentState.FAILED]
        self._abort_over(batch, refused)
        return len(found)

    async def _look(self, batch: Batch) -> int:
        """Notes how the documents under way stand; how many there still are."""
        standings = await asyncio.to_thread(self._store.under_way, batch.id)
        lost = await self._lost(standings)
        now = [_seen(standing, lost.get(standing.document.flow_run_id or "")) for standing in standings]
        now = [self._tried_again(batch, document) for document in now]
        await self._controls.held()
        await asyncio.to_thread(self._store.save, now)
        ended = [document for document in now if document.state is DocumentState.COMPLETED]
        await self._settle(batch, ended)
        self._abort_over(batch, [document for document in now if document.state is DocumentState.FAILED])
        return sum(1 for document in now if not document.state.is_final and document.flow_run_id)

    async def _settle(self, batch: Batch, documents: Sequence[BatchDocument]) -> None:
        await self._controls.held()
        for document in documents:
            if (document.published_id, document.published_with_id) != (document.document_id, document.ontology_id):
                await asyncio.to_thread(self._store.retract_published, document, batch.id)
        settled = [replace(d, published_id=d.document_id, published_with_id=d.ontology_id) for d in documents]
        await asyncio.to_thread(self._store.save, settled)

    async def _lost(self, standings: Sequence[Standing]) -> dict[str, str]:
        """Why flow runs have no execution and will open none, or exist no more, by flow run; looked at now and then."""
        self._looks += 1
        if not standings or self._looks % _LOOKS_BETWEEN_RUNS:
            return {}
        ids = {str(standing.document.flow_run_id): standing.status is not None for standing in standings}
        runs: dict[str, FlowRun] = {}
        listed = [UUID(run_id) for run_id in ids]
        for start in range(0, len(listed), _PORTION):
            wanted = FlowRunFilter(id=FlowRunFilterId(any_=listed[start : start + _PORTION]))
            found = await self._client.read_flow_runs(flow_run_filter=wanted, limit=_PORTION)
            runs |= {str(run.id): run for run in found}
        reasons = {run_id: _why_lost(runs.get(run_id), is_opened=is_opened) for run_id, is_opened in ids.items()}
        return {run_id: reason for run_id, reason in reasons.items() if reason is not None}

    def _tried_again(self, batch: Batch, document: BatchDocument) -> BatchDocument:
        is_to_be = document.state is DocumentState.FAILED and batch.on_failure is FailurePolicy.RETRY
        if not is_to_be or document.attempt >= MAX_ATTEMPTS:
            return document
        # Without the digest: these bytes are not the ones that are in the graph.
        return moved(document, DocumentState.PENDING, attempt=document.attempt + 1, flow_run_id=None, digest="")

    def _abort_over(self, batch: Batch, failed: Sequence[BatchDocument]) -> None:
        if failed and batch.on_failure is FailurePolicy.ABORT:
            raise BatchAborted(f"{failed[0].location} failed, and the batch aborts then: {failed[0].error}")


async def cancel_documents_of(
    client: PrefectClient, database: Database, organization_id: OrganizationId, execution_id: ExecutionId, reason: str
) -> None:
    """As `Driver.cancel`, where the execution is a batch's and its process is gone; doing it again is harmless."""
    batch = await asyncio.to_thread(BatchStore(database, organization_id).find_by_execution, execution_id)
    if batch is not None:
        await _cancel_documents(client, database, batch, reason)


async def _cancel_documents(client: PrefectClient, database: Database, batch: Batch, reason: str) -> None:
    store = BatchStore(database, batch.organization_id)
    await asyncio.to_thread(store.cancel_pending, batch.id, reason)
    for standing in await asyncio.to_thread(store.under_way, batch.id):
        await _cancel_run(client, database, batch, standing, reason)
    await asyncio.to_thread(store.cancel_unopened, batch.id, reason)


async def _cancel_run(client: PrefectClient, database: Database, batch: Batch, standing: Standing, reason: str) -> None:
    run_id = standing.document.flow_run_id
    assert run_id is not None
    if standing.execution_id is None:
        await end_cancelled(client, run_id, reason)
        return
    signals = Signals(database, batch.organization_id)
    try:
        await asyncio.to_thread(signals.send, standing.execution_id, SignalName.CANCEL, {"reason": reason}, "batch")
    except SignalRefused:
        # It has just ended.
        return
    if not await asyncio.to_thread(held_fences, database, [run_id]):
        await act_unattended(client, signals, standing.execution_id, run_id)


def _seen(standing: Standing, lost: str | None) -> BatchDocument:
    """The document as the ledger has it."""
    document = standing.document
    if lost is not None:
        return moved(document, DocumentState.FAILED, error=lost)
    if standing.status is None:
        return document
    state = furthest(document.state, state_of_execution(standing.status, standing.stage))
    return moved(document, state, error=standing.error if state.is_final else None)


def _why_lost(run: FlowRun | None, *, is_opened: bool) -> str | None:
    """Why nothing more is to be expected of a flow run; None if recovery or a worker will take care of it."""
    if run is None:
        return "its flow run does not exist any more: it was deleted in Prefect"
    state = run.state
    if is_opened or state is None or not state.is_final() or state.is_crashed():
        return None
    return f"the flow run ended as {state.name} before it began: {state.message or 'no reason given'}"
