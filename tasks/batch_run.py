"""A batch as an execution of its own: fenced, signalled and recovered like any other."""

import asyncio
import logging
import os
import socket
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from prefect.client.orchestration import PrefectClient, get_client

from knowledge.batches import Batch, BatchCounts, FailurePolicy
from knowledge.build import open_stages
from knowledge.domain import ExecutionStatistics, ExecutionStatus, WorkflowExecutionState
from knowledge.errors import ExecutionCancelled, KnowledgeError
from knowledge.ids import BatchId, ExecutionId, FlowRunId
from knowledge.pipeline import ExtractionPipeline
from knowledge.settings import Settings
from tables.batches import BatchStore
from tables.fence import Fence
from tables.ledger import Ledger
from tables.session import Database
from tables.signals import Signals
from tasks.batch_drive import BatchAborted, Controls, Driver
from tasks.batch_request import BatchRequest
from tasks.batch_starts import Starter
from tasks.events import announce_batch_end
from tasks.fencing import fenced
from tasks.inputs import Inputs
from tasks.interruptions import is_interruption
from tasks.linking import link_documents
from tasks.results import RESULTS_BLOCK, ResultStorage
from tasks.signals import SignalWatcher
from tasks.sources import Listing, Sources

_CANCELLING_SECONDS = 30.0
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """A batch after a run of the flow; `execution_id` is None where another run has it, which makes one more pass."""

    batch_id: BatchId
    execution_id: ExecutionId | None
    counts: BatchCounts


async def run_batch(request: BatchRequest, flow_run_id: FlowRunId, settings: Settings) -> BatchOutcome:
    """Makes passes over the batch until one has seen the sources as they were last asked for.

    Whatever is killed, recovery has the flow run go on, under the same execution; what has been begun is found again.

    Raises:
        ExecutionCancelled: a signal ended the batch.
        KnowledgeError: the batch failed; its execution says why.
        Abort: this process leaves the flow run to others, see `tasks.fencing`.
    """
    storage = await ResultStorage.aload(RESULTS_BLOCK)
    async with fenced(storage.database, flow_run_id) as fence, get_client() as client:
        return await _BatchRun(request, settings, storage.database, fence, flow_run_id, client).run()


class _BatchRun:
    def __init__(
        self,
        request: BatchRequest,
        settings: Settings,
        database: Database,
        fence: Fence,
        flow_run_id: FlowRunId,
        client: PrefectClient,
    ) -> None:
        self._request = request
        self._settings = settings
        self._database = database
        self._fence = fence
        self._flow_run_id = flow_run_id
        self._client = client
        self._ledger = Ledger(database, request.organization_id)
        self._store = BatchStore(database, request.organization_id)
        self._signals = Signals(database, request.organization_id)

    async def run(self) -> BatchOutcome:
        try:
            batch = await asyncio.to_thread(self._claim)
        except KnowledgeError as error:
            if not is_interruption(error):
                state = await asyncio.to_thread(self._open, ", ".join(self._request.sources)[:200])
                await self._end(state.id, ExecutionStatus.FAILED, error.message)
            raise
        if batch.flow_run_id != self._flow_run_id:
            return await self._leave(batch)
        state = await asyncio.to_thread(self._open, batch.name)
        await asyncio.to_thread(self._store.attach, batch.id, state.id)
        work = asyncio.current_task()
        assert work is not None
        self._fence.claim(lambda: self._ledger.is_held_by(state.id, self._fence.holder), on_loss=work.cancel)
        return await self._work(batch, state)

    def _claim(self) -> Batch:
        return self._store.claim(self._request.batch(self._settings), self._flow_run_id)

    async def _leave(self, batch: Batch) -> BatchOutcome:
        """Another live run has the batch; an execution that we had before we lost it has nothing more to do."""
        before = await asyncio.to_thread(self._ledger.find_by_flow_run, self._flow_run_id)
        if before is not None and not before.status.is_final:
            await asyncio.to_thread(
                self._ledger.close_execution, before.id, ExecutionStatus.COMPLETED, None, before.statistics
            )
        _logger.info("flow run %s has batch %s, and makes one more pass", batch.flow_run_id, batch.id)
        return BatchOutcome(batch.id, None, await asyncio.to_thread(self._store.counts, batch))

    async def _work(self, batch: Batch, state: WorkflowExecutionState) -> BatchOutcome:
        driver: Driver | None = None
        try:
            watcher = SignalWatcher(self._signals, state.id)
            self._fence.listen(watcher.hear)
            async with watcher:
                controls = Controls(self._fence.held, lambda: watcher.is_paused)
                driver = Driver(self._client, self._database, self._store, controls)
                batch = await self._pass_until_done(batch, driver)
                await watcher.let_finish()
        except ExecutionCancelled as stop:
            await self._fence.held()
            await self._stop(batch, driver, stop.message)
            await asyncio.to_thread(self._signals.cancel, state.id, stop.message)
            raise
        except Exception as error:
            if is_interruption(error):
                raise
            message = error.message if isinstance(error, KnowledgeError) else f"{type(error).__name__}: {error}"
            if isinstance(error, BatchAborted):
                await self._stop(batch, driver, message)
            await self._end(state.id, ExecutionStatus.FAILED, message)
            await self._announce(state.id, batch)
            raise
        await self._end(state.id, ExecutionStatus.COMPLETED, None)
        counts = await self._announce(state.id, batch)
        return BatchOutcome(batch.id, state.id, counts)

    async def _pass_until_done(self, batch: Batch, driver: Driver) -> Batch:
        async with AsyncExitStack() as opened:
            stages = await opened.enter_async_context(open_stages(self._settings))
            inputs = Inputs(self._database, batch.organization_id, self._settings.documents)
            starter = Starter(self._client, self._database, self._store, inputs, ExtractionPipeline(stages))
            while True:
                await self._pass(batch, driver, starter)
                if await asyncio.to_thread(self._store.release, batch.id, batch.passes):
                    return batch
                batch = await asyncio.to_thread(self._store.load, batch.id)

    async def _pass(self, batch: Batch, driver: Driver, starter: Starter) -> None:
        await driver.drain(batch)
        await driver.settle(batch)
        listing = await asyncio.to_thread(self._register, batch)
        await driver.drive(batch, starter)
        if batch.retract_missing and not listing.absent:
            await driver.retract_missing(batch)
        extracted = await asyncio.to_thread(self._store.extracted_in, batch.id, batch.passes)
        await link_documents(self._database, batch.organization_id, extracted, self._fence.held)

    def _register(self, batch: Batch) -> Listing:
        listing = Listing()
        documents = Sources(self._settings.documents, batch.quiet_seconds).documents(
            batch.sources, batch.ontology, listing
        )
        self._store.register(batch.id, batch.passes, documents)
        if listing.unsettled:
            self._store.keep(batch.id, batch.passes, listing.unsettled)
        return listing

    async def _stop(self, batch: Batch, driver: Driver | None, reason: str) -> None:
        """Cancels what is under way, and waits a little for it to end."""
        if driver is None:
            return
        await driver.cancel(batch, reason)
        with suppress(TimeoutError, BatchAborted):
            async with asyncio.timeout(_CANCELLING_SECONDS):
                await driver.drain(replace(batch, on_failure=FailurePolicy.CONTINUE))

    def _open(self, name: str) -> WorkflowExecutionState:
        request = self._request
        parameters: dict[str, object] = {
            "sources": list(request.sources),
            "ontology": request.ontology,
            "options": request.options.model_dump(mode="json"),
            "max_in_flight": request.max_in_flight,
            "on_failure": request.on_failure.value,
            "retract_missing": request.retract_missing,
        }
        return self._ledger.open_execution(
            self._flow_run_id,
            document_name=name,
            parameters=parameters,
            pid=os.getpid(),
            host=socket.gethostname(),
            holder=self._fence.holder,
        )

    async def _end(self, execution_id: ExecutionId, status: ExecutionStatus, error: str | None) -> None:
        await self._fence.held()
        begun = (await asyncio.to_thread(self._ledger.load, execution_id)).started_at or datetime.now(UTC)
        seconds = round((datetime.now(UTC) - begun).total_seconds(), 3)
        statistics = ExecutionStatistics(seconds=seconds)
        await asyncio.to_thread(self._ledger.close_execution, execution_id, status, error, statistics)

    async def _announce(self, execution_id: ExecutionId, batch: Batch) -> BatchCounts:
        state = await asyncio.to_thread(self._ledger.load, execution_id)
        counts = await asyncio.to_thread(self._store.counts, batch)
        announce_batch_end(state, batch, counts)
        return counts
