"""What Prefect's UI shows of a run: its story in the log, progress while it goes on, and what came of it."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.exceptions import PrefectHTTPStatusError
from prefect.runtime import flow_run

from knowledge.domain import Document, ExtractionProgress, Stage, WorkflowExecutionState
from knowledge.ids import ExecutionId, FlowRunId, OrganizationId
from knowledge.ontology import Ontology
from knowledge.pipeline import CHUNK_STAGES
from tasks.artifacts import RunArtifacts
from tasks.markdown import escaped
from tasks.story import Story, quieten_tasks

# The bars are for people: at first every two seconds, and in long runs every twentieth part of the time so far. To
# draw one costs the server more than a model call costs us.
_SHORTEST_PAUSE_SECONDS = 2.0
_LONGEST_PAUSE_SECONDS = 10.0
_PART_OF_TIME = 1 / 20
_PATIENCE_SECONDS = 5.0
_logger = logging.getLogger(__name__)


class RunView:
    """The view of one flow run. Nothing of it is needed by the run: while Prefect's API is away, nothing is shown."""

    def __init__(
        self,
        flow_run_id: FlowRunId,
        tell: Callable[[str], None],
        *,
        reports_url: str | None = None,
        artifacts_of: Callable[[FlowRunId, ExecutionId], RunArtifacts] = RunArtifacts,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._flow_run_id = flow_run_id
        self._story = Story(tell, monotonic)
        self._reports_url = reports_url
        self._artifacts_of = artifacts_of
        self._monotonic = monotonic
        self._sleep = sleep
        self._artifacts: RunArtifacts | None = None
        self._changed: dict[Stage, ExtractionProgress] = {}

    @contextlib.asynccontextmanager
    async def open(
        self, state: WorkflowExecutionState, document: Document, ontology: Ontology, *, is_continued: bool
    ) -> AsyncGenerator[None]:
        """Shows the run's progress as long as the block lasts. `is_continued`: another process has begun the run."""
        quieten_tasks()
        self._story.begin(state, document, ontology)
        artifacts = self._artifacts = self._artifacts_of(self._flow_run_id, state.id)
        if is_continued:
            with _unseen():
                await asyncio.wait_for(artifacts.find_earlier(), _PATIENCE_SECONDS)
        writer = asyncio.create_task(self._write_regularly(artifacts, state, document))
        try:
            yield
        finally:
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await writer
        await self.show_progress()

    async def show_progress(self) -> None:
        """Brings the bars up to date."""
        with _unseen():
            await asyncio.wait_for(self._write(self.artifacts), _PATIENCE_SECONDS)

    def observe(self, progress: ExtractionProgress) -> None:
        """How far a stage is. Only the chunks' stages have a bar: the others are one step each."""
        self._story.observe(progress)
        if progress.stage in CHUNK_STAGES:
            self._changed[progress.stage] = progress

    @property
    def artifacts(self) -> RunArtifacts:
        """Where to show more; once the view was opened."""
        assert self._artifacts is not None
        return self._artifacts

    def report_url(self, organization_id: OrganizationId, execution_id: ExecutionId) -> str | None:
        """Where the execution's report is served, if it is."""
        return self._reports_url and f"{self._reports_url.rstrip('/')}/{organization_id}/{execution_id}"

    async def _write_regularly(
        self, artifacts: RunArtifacts, state: WorkflowExecutionState, document: Document
    ) -> None:
        began = self._monotonic()
        with _unseen():
            await self._introduce(artifacts, state, document)
        while True:
            so_far = (self._monotonic() - began) * _PART_OF_TIME
            await self._sleep(min(_LONGEST_PAUSE_SECONDS, max(_SHORTEST_PAUSE_SECONDS, so_far)))
            with _unseen():
                await self._write(artifacts)

    async def _introduce(self, artifacts: RunArtifacts, state: WorkflowExecutionState, document: Document) -> None:
        """The link to the report, and the organisation among the run's tags, by which runs are found."""
        url = self.report_url(state.organization_id, state.id)
        if url is not None:
            await artifacts.put_link(
                "report", url, f"Report on {escaped(document.name)}", "Graph, evidence and history"
            )
        tags = set(flow_run.get_tags() or ())
        if state.organization_id not in tags:
            async with get_client() as client:
                await client.update_flow_run(UUID(self._flow_run_id), tags=[*sorted(tags), state.organization_id])

    async def _write(self, artifacts: RunArtifacts) -> None:
        while self._changed:
            stage, progress = self._changed.popitem()
            try:
                await artifacts.put_progress(
                    f"progress-{stage}", progress.fraction, f"{stage}: {progress.completed} of {progress.total} chunks"
                )
            except BaseException:
                self._changed.setdefault(stage, progress)
                raise


@contextlib.contextmanager
def _unseen() -> Generator[None]:
    """What cannot be shown is not shown: the run goes on."""
    try:
        yield
    except (httpx.HTTPError, PrefectHTTPStatusError, TimeoutError) as error:
        _logger.debug("Prefect shows less of this run: %s", error)
