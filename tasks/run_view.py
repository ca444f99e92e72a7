"""What Prefect's UI shows of a run: its story in the log, progress while it goes on, and what came of it."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Iterator
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectHTTPStatusError
from prefect.runtime import flow_run

from knowledge.domain import Document, ExtractionProgress, Stage, WorkflowExecutionState
from knowledge.ids import ExecutionId, FlowRunId, OrganizationId
from knowledge.ontology import Ontology
from knowledge.pipeline import CHUNK_STAGES
from knowledge.progress import done_fraction
from tasks.artifacts import RunArtifacts
from tasks.markdown import escaped
from tasks.story import Story, quieten_tasks

# The bar is for people: at first every five seconds, and in long runs every twentieth part of the time so far. To
# draw it costs the server more than a model call costs us. A run that is over before has no bar.
_SHORTEST_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 10.0
_PART_OF_TIME = 1 / 20
_PATIENCE_SECONDS = 5.0
_DEFAULT_ORGANIZATION = "default"
_SUMMARY, _PROGRESS = "summary", "progress"
_logger = logging.getLogger(__name__)


class RunView:
    """The view of one flow run: a bar, and a page that leads to the report and becomes the summary.

    Nothing of it is needed by the run: while Prefect's API is away, nothing is shown. `name` is what the run is
    called, whatever it was submitted as; None leaves its name.
    """

    def __init__(
        self,
        flow_run_id: FlowRunId,
        tell: Callable[[str], None],
        *,
        name: str | None = None,
        reports_url: str | None = None,
        artifacts_of: Callable[[FlowRunId, ExecutionId], RunArtifacts] = RunArtifacts,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._flow_run_id = flow_run_id
        self._story = Story(tell, monotonic)
        self._name = name
        self._reports_url = reports_url
        self._artifacts_of = artifacts_of
        self._monotonic = monotonic
        self._sleep = sleep
        self._artifacts: RunArtifacts | None = None
        self._stages: dict[Stage, ExtractionProgress] = {}
        self._drawn: tuple[float, str] | None = None

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
        except Exception:
            # Whoever looks why finds the way to the report.
            await _stopped(writer)
            with _unseen():
                await asyncio.wait_for(self._show(artifacts, state, document), _PATIENCE_SECONDS)
            raise
        finally:
            await _stopped(writer)
        # Whoever has seen the bar sees it full; that the run is over is said by its state.
        if artifacts.has(_PROGRESS):
            with _unseen():
                await asyncio.wait_for(self._draw(artifacts, is_over=True), _PATIENCE_SECONDS)

    def observe(self, progress: ExtractionProgress) -> None:
        """How far a stage is."""
        self._story.observe(progress)
        self._stages[progress.stage] = progress

    async def show_summary(self, lines: Iterable[str]) -> None:
        """Puts the summary, in lines of markdown, in the place of the page; once the view was opened.

        Raises:
            httpx.HTTPError, PrefectHTTPStatusError: Prefect's API did not take it.
        """
        assert self._artifacts is not None
        await self._artifacts.put_markdown(_SUMMARY, "\n".join(lines), "What the run found, and what it took")

    def report_lines(self, organization_id: OrganizationId, execution_id: ExecutionId) -> Iterator[str]:
        """Where to look further, as markdown: the execution's report where it is served, and as a file."""
        if self._reports_url is not None:
            yield f"[The report]({self._reports_url.rstrip('/')}/{organization_id}/{execution_id}), or as a file:"
        whose = "" if organization_id == _DEFAULT_ORGANIZATION else f" --organization {organization_id}"
        yield from ("", "```", f"knowledge report {execution_id}{whose}", "```")

    async def _write_regularly(
        self, artifacts: RunArtifacts, state: WorkflowExecutionState, document: Document
    ) -> None:
        began = self._monotonic()
        with _unseen():
            await self._identify(state.organization_id)
        while True:
            so_far = (self._monotonic() - began) * _PART_OF_TIME
            await self._sleep(min(_LONGEST_PAUSE_SECONDS, max(_SHORTEST_PAUSE_SECONDS, so_far)))
            with _unseen():
                await self._show(artifacts, state, document)

    async def _identify(self, organization_id: OrganizationId) -> None:
        """Gives the run its name, and its organisation's tag, by which runs are found, unless it has them."""
        tags = set(flow_run.get_tags() or ())
        name = flow_run.get_name() if self._name is None else self._name
        if organization_id in tags and name == flow_run.get_name():
            return
        tagged = sorted(tags | {organization_id})
        async with get_client() as client:
            await client.update_flow_run(UUID(self._flow_run_id), name=name, tags=tagged)
        context = FlowRunContext.get()
        if context is not None and context.flow_run is not None:
            context.flow_run = context.flow_run.model_copy(update={"name": name, "tags": tagged})

    async def _show(self, artifacts: RunArtifacts, state: WorkflowExecutionState, document: Document) -> None:
        await self._introduce(artifacts, state, document)
        await self._draw(artifacts)

    async def _introduce(self, artifacts: RunArtifacts, state: WorkflowExecutionState, document: Document) -> None:
        """The page, for as long as there is no summary."""
        if artifacts.has(_SUMMARY):
            return
        lines = (f"# {escaped(document.name)}", "", *self.report_lines(state.organization_id, state.id))
        await artifacts.put_markdown(_SUMMARY, "\n".join(lines), "Graph, evidence and history")

    async def _draw(self, artifacts: RunArtifacts, *, is_over: bool = False) -> None:
        """The bar of the whole run. It tells of stages that go over chunks: the others are one step each."""
        steps = [self._stages[stage] for stage in CHUNK_STAGES if stage in self._stages]
        description = ", ".join(f"{step.stage} {step.completed} of {step.total}" for step in steps)
        drawn = 1.0 if is_over else done_fraction(self._stages), f"Chunks: {description}"
        if steps and drawn != self._drawn:
            await artifacts.put_progress(_PROGRESS, *drawn)
            self._drawn = drawn


async def _stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


@contextlib.contextmanager
def _unseen() -> Generator[None]:
    """What cannot be shown is not shown: the run goes on."""
    try:
        yield
    except (httpx.HTTPError, PrefectHTTPStatusError, TimeoutError) as error:
        _logger.debug("Prefect shows less of this run: %s", error)
