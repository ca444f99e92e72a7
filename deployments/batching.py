"""`knowledge batch` and `knowledge batches`: batches submitted, watched and shown."""

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.database import open_database
from deployments.run import stack_for, while_stack_runs
from knowledge.batches import Batch, BatchCounts, BatchDocument, DocumentState
from knowledge.domain import ExecutionStatus, WorkflowExecutionState
from knowledge.errors import ExecutionFailed, NotFound, StoreUnavailable
from knowledge.ids import BatchId, OrganizationId
from knowledge.settings import DocumentSettings, Settings
from tables.batches import BatchStore
from tables.ledger import Ledger
from tables.session import Database
from tasks.batch_request import DEPLOYMENT, BatchRequest, batch_parameters
from tasks.results import RESULTS_BLOCK, ResultStorage

_POLL_SECONDS = 0.5
_PATIENCE_SECONDS = 180.0


@dataclass(frozen=True, slots=True)
class BatchReport:
    """A batch as the tables have it; no execution until it has been begun for the first time."""

    batch: Batch
    counts: BatchCounts
    execution: WorkflowExecutionState | None
    is_over: bool
    documents: tuple[BatchDocument, ...] = ()

    @property
    def status(self) -> str:
        """How its latest execution stands."""
        return ExecutionStatus.PENDING.value if self.execution is None else self.execution.status.value

    @property
    def succeeded(self) -> bool:
        """Whether it completed, and every document with it."""
        failed = (DocumentState.FAILED, DocumentState.CANCELLED)
        return self.status == ExecutionStatus.COMPLETED and not any(self.counts.by_state.get(s) for s in failed)

    def as_json(self) -> dict[str, object]:
        """The object that `--json` prints."""
        execution = self.execution
        return {
            "batch_id": self.batch.id,
            "name": self.batch.name,
            "status": self.status,
            "error": execution and execution.error,
            "execution_id": self.batch.execution_id,
            "flow_run_id": execution and execution.flow_run_id,
            "resumes": execution.resumes if execution else 0,
            "passes": self.batch.passes,
            "seconds": execution.statistics.seconds if execution else 0.0,
            **self.counts.as_json(),
            "items": [_document_json(document) for document in self.documents],
        }

    def line(self) -> str:
        """The same for people, without the documents."""
        counts = ", ".join(f"{number} {name}" for name, number in self.counts.as_json().items() if number)
        nothing = "its sources name no documents" if self.is_over else "no documents yet"
        return f"{self.batch.id}  {self.status:9}  {self.batch.name}: {counts or nothing}"

    def lines(self) -> Iterator[str]:
        """The same with the documents that have not completed, and why."""
        yield self.line()
        if self.execution is not None and self.execution.error:
            yield f"  {self.execution.error}"
        for document in self.documents:
            if document.state is not DocumentState.COMPLETED and document.last_pass == self.batch.passes:
                yield f"  {document.state:10} {document.location}" + (f": {document.error}" if document.error else "")


def _document_json(document: BatchDocument) -> dict[str, object]:
    return {
        "location": document.location,
        "name": document.name,
        "state": document.state.value,
        "reused": document.reused,
        "retracted": document.retracted_at is not None,
        "error": document.error,
        "document_id": document.document_id,
        "flow_run_id": document.flow_run_id,
        "attempt": document.attempt,
    }


def run_batch(
    settings: Settings,
    request: BatchRequest,
    *,
    keep: bool,
    tell: Callable[[str], None],
    show: Callable[[BatchReport], None],
) -> BatchReport:
    """Submits the batch and watches it to its end; a stack started for it is stopped again unless `keep`.

    Raises:
        ConfigurationError: the stack does not start, or runs with other model settings.
        ExecutionFailed: the batch was refused, or the stack was stopped or stopped answering.
    """
    with stack_for(settings, keep, tell) as stack:
        tell(f"Prefect UI: {stack.ui_url}")
        with temporary_settings({PREFECT_API_URL: stack.api_url}):
            return asyncio.run(while_stack_runs(settings, _run(request, show)))


async def _run(request: BatchRequest, show: Callable[[BatchReport], None]) -> BatchReport:
    # Where the worker may read is for the worker to say.
    wanted = request.batch(Settings(documents=DocumentSettings(allowed_roots=(str(Path.cwd()), "/"))))
    async with get_client() as client:
        storage = await ResultStorage.aload(RESULTS_BLOCK, client=client)
        deployment = await client.read_deployment_by_name(DEPLOYMENT)
        parameters = batch_parameters(wanted)
        run = await client.create_flow_run_from_deployment(
            deployment.id, name=wanted.name, parameters=parameters, tags=[wanted.organization_id]
        )
        return await _Watch(client, storage.database, wanted, run.id).until_done(show)


class _Watch:
    """Watches the flow run, and the batch, which another run may have in hand."""

    def __init__(self, client: PrefectClient, database: Database, wanted: Batch, run_id: UUID) -> None:
        self._client = client
        self._database = database
        self._wanted = wanted
        self._run_id = run_id

    async def until_done(self, show: Callable[[BatchReport], None]) -> BatchReport:
        last_answer = time.monotonic()
        while True:
            try:
                report = await self._look()
                last_answer = time.monotonic()
                if report is not None:
                    show(report)
                    if report.is_over:
                        return await asyncio.to_thread(_with_documents, self._database, report)
            except (StoreUnavailable, httpx.HTTPError, PrefectHTTPStatusError) as error:
                if time.monotonic() - last_answer > _PATIENCE_SECONDS:
                    raise ExecutionFailed(f"the stack does not answer any more: {error}") from error
            await asyncio.sleep(_POLL_SECONDS)

    async def _look(self) -> BatchReport | None:
        """The batch; None before the flow run has come to it. It is not over before the flow run is."""
        state = (await self._client.read_flow_run(self._run_id)).state
        report = await asyncio.to_thread(self._report)
        is_ended = state is not None and state.is_final() and not state.is_crashed()
        if is_ended and (report is None or report.execution is None):
            assert state is not None
            raise ExecutionFailed(state.message or f"the flow run ended as {state.name}")
        return report if report is None or is_ended else replace(report, is_over=False)

    def _report(self) -> BatchReport | None:
        try:
            return report_of(self._database, self._wanted.organization_id, self._wanted.id)
        except NotFound:
            return None


def report_of(database: Database, organization_id: OrganizationId, batch_id: BatchId) -> BatchReport:
    """How the batch stands, without its documents.

    Raises:
        NotFound: the organisation has no such batch.
    """
    store = BatchStore(database, organization_id)
    batch = store.load(batch_id)
    execution = None if batch.execution_id is None else Ledger(database, organization_id).load(batch.execution_id)
    return BatchReport(batch, store.counts(batch), execution, execution is not None and execution.status.is_final)


def _with_documents(database: Database, report: BatchReport) -> BatchReport:
    documents = BatchStore(database, report.batch.organization_id).documents(report.batch.id)
    return replace(report, documents=tuple(sorted(documents, key=lambda document: document.location)))


def show_batch(settings: Settings, organization_id: OrganizationId, batch_id: BatchId) -> BatchReport:
    """How the batch stands, with its documents by location.

    Raises:
        NotFound: the organisation has no such batch.
        ConfigurationError: no stack runs and no `DATABASE_URL` is set.
    """
    with open_database(settings) as database:
        return _with_documents(database, report_of(database, organization_id, batch_id))


def list_batches(settings: Settings, organization_id: OrganizationId) -> tuple[BatchReport, ...]:
    """The organisation's batches, the latest first, without their documents.

    Raises:
        ConfigurationError: no stack runs and no `DATABASE_URL` is set.
    """
    with open_database(settings) as database:
        found = BatchStore(database, organization_id).list_batches()
        return tuple(report_of(database, organization_id, batch.id) for batch in found)
