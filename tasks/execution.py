"""One execution from references to a published graph, mirrored into the workflow tables as it goes."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import NoReturn

from prefect import get_client, task
from prefect.cache_policies import NO_CACHE
from prefect.exceptions import Abort

from knowledge.build import open_link_model, open_stages
from knowledge.documents import document_name
from knowledge.domain import (
    Document,
    ExecutionStatistics,
    ExecutionStatus,
    ExtractionProgress,
    KnowledgeGraph,
    Stage,
    WorkflowExecutionState,
)
from knowledge.errors import ExecutionCancelled, KnowledgeError, ModelHeldBack, SpendCeilingReached
from knowledge.ids import ExecutionId, ExtractionId, FlowRunId, OrganizationId
from knowledge.models.journal import AnswerJournal
from knowledge.ontology import Ontology
from knowledge.pipeline import ExtractionOptions, ExtractionPipeline, ExtractionResult
from knowledge.ports import LinkModel, ProgressObserver
from knowledge.settings import Settings
from knowledge.stages.stages import Stages
from resilience.retry import RetryPolicy
from resilience.spending import SpendMeter
from tables.fence import Fence
from tables.graph_store import publish
from tables.ledger import Ledger, with_costs
from tables.links import link_entities
from tables.session import Database
from tables.signals import Signals
from tasks.activities import ActivityRecorder
from tasks.ceiling import CeilingGuard, SpendCeiling
from tasks.deferral import set_aside
from tasks.durable import durable, is_worth_retrying
from tasks.endpoints import open_guards
from tasks.events import announce_end
from tasks.fencing import fenced
from tasks.inputs import Inputs, StoredOntology
from tasks.interruptions import is_interruption, suspension_among
from tasks.keepsakes import Keepsakes
from tasks.link_questions import LinkQuestions
from tasks.results import RESULTS_BLOCK, ResultStorage
from tasks.review import Review
from tasks.run_view import RunView
from tasks.signals import SignalWatcher, gated


@dataclass(frozen=True, slots=True)
class ExtractionRequest:
    """What a run was asked for, in references."""

    organization_id: OrganizationId
    document: str
    ontology: str
    options: ExtractionOptions
    review: bool = False
    ceiling: SpendCeiling = field(default_factory=SpendCeiling)


@dataclass(frozen=True, slots=True)
class Extracted:
    """A completed execution, or one held for review, with what it read and found."""

    execution_id: ExecutionId
    document: Document
    ontology: StoredOntology
    result: ExtractionResult
    statistics: ExecutionStatistics
    resumes: int = 0


Present = Callable[[Extracted], Awaitable[str]]


async def execute(
    request: ExtractionRequest, flow_run_id: FlowRunId, settings: Settings, view: RunView, present: Present
) -> Extracted:
    """Extracts and publishes a graph as the execution of this flow run; its row is closed when it has come to an end.

    It has not when this process is not, or is no more, the one that works on the flow run, when it is told to
    stop, or when the database or Prefect's API is away: then the row and Prefect's run stay as they are, for
    recovery to take up. `view` shows how it goes on. `present` shows a graph that is held for review, and returns
    what the reviewer's form is to say (markdown).

    Raises:
        ExecutionCancelled: a signal or a reviewer ended the run.
        KnowledgeError: the run failed; the execution row says why.
        Abort: it has not come to an end; Prefect's engine leaves the flow run alone and ends the process.
        Pause: the run is held for review, or at its spend ceiling, as a suspended flow run; or somebody suspended it.
    """
    storage = await ResultStorage.aload(RESULTS_BLOCK)
    async with fenced(storage.database, flow_run_id) as fence:
        try:
            return await _Execution(request, settings, storage, fence, flow_run_id, view).run(present)
        except BaseExceptionGroup as errors:
            suspension = suspension_among(errors)
            if suspension is None:
                raise
            raise suspension from errors


class _Execution:
    def __init__(
        self,
        request: ExtractionRequest,
        settings: Settings,
        storage: ResultStorage,
        fence: Fence,
        flow_run_id: FlowRunId,
        view: RunView,
    ) -> None:
        self._view = view
        self._request = request
        self._settings = settings
        self._storage = storage
        self._fence = fence
        self._flow_run_id = flow_run_id
        self._ledger = Ledger(storage.database, request.organization_id)
        self._keepsakes = Keepsakes.of(settings, request.organization_id, flow_run_id)

    async def run(self, present: Present) -> Extracted:
        before, state = await asyncio.to_thread(self.open, self._flow_run_id)
        work = asyncio.current_task()
        assert work is not None
        self._fence.claim(lambda: self._ledger.is_held_by(state.id, self._fence.holder), on_loss=work.cancel)
        signals = Signals(self._storage.database, self._request.organization_id)
        ceiling = self._request.ceiling.within(self._settings.spend)
        was_waiting = before is ExecutionStatus.WAITING
        ceiling_guard = CeilingGuard(ceiling, self._ledger, signals, state, was_waiting)
        spending = await ceiling_guard.meter()
        try:
            watcher = SignalWatcher(signals, state.id)
            self._fence.listen(watcher.hear)
            async with watcher:
                review = Review(signals, state.id, self._flow_run_id) if self._request.review else None
                return await self.extract(state, watcher, review, present, spending, is_continued=before is not None)
        except ExecutionCancelled as stop:
            await self._fence.held()
            await asyncio.to_thread(signals.cancel, state.id, stop.message)
            self._keepsakes.remove()
            raise
        except SpendCeilingReached:
            await self._fence.held()
            await ceiling_guard.hold(self._flow_run_id, spending.spent)
        except ModelHeldBack as error:
            await self._fence.held()
            reason = f"{error.message}; the run is set aside, and goes on by itself when the endpoint answers"
            await self._set_aside(state.id, reason)
        except Exception as error:
            if is_interruption(error):
                raise
            message = error.message if isinstance(error, KnowledgeError) else f"{type(error).__name__}: {error}"
            await self.close(state, ExecutionStatus.FAILED, message, ExecutionStatistics())
            raise

    def open(self, flow_run_id: FlowRunId) -> tuple[ExecutionStatus | None, WorkflowExecutionState]:
        request = self._request
        parameters: dict[str, object] = {
            "document": request.document,
            "ontology": request.ontology,
            "options": request.options.model_dump(mode="json"),
            "review": request.review,
            "ceiling": request.ceiling.model_dump(mode="json"),
        }
        return self._ledger.take_up(
            flow_run_id,
            document_name=document_name(request.document),
            parameters=parameters,
            pid=os.getpid(),
            host=socket.gethostname(),
            holder=self._fence.holder,
        )

    async def close(
        self, state: WorkflowExecutionState, status: ExecutionStatus, error: str | None, found: ExecutionStatistics
    ) -> WorkflowExecutionState:
        """The execution at its end, with what was found and what all of its attempts have cost."""
        await self._fence.held()
        found = _timed(found, state)
        ended = await asyncio.to_thread(
            self._ledger.close_execution, state.id, status, error, found, adds_attempts=True
        )
        self._keepsakes.remove()
        announce_end(ended)
        return ended

    async def _set_aside(self, execution_id: ExecutionId, reason: str) -> NoReturn:
        async with get_client() as client:
            await set_aside(client, self._ledger, execution_id, self._flow_run_id, reason)
        raise Abort(reason)

    async def _open_models(self, opened: AsyncExitStack, spending: SpendMeter) -> tuple[Stages, LinkModel | None]:
        """The stages with this run's models. Embedded ones have nothing to share and nothing to lose."""
        settings = self._settings
        guards = await opened.enter_async_context(open_guards(settings, self._storage.database, self._keepsakes.leases))
        journal = None
        if settings.chat.is_configured or settings.embedding.is_configured:
            journal = opened.enter_context(AnswerJournal(self._keepsakes.answers))
        stages = await opened.enter_async_context(open_stages(settings, guards, journal, spending))
        return stages, await opened.enter_async_context(open_link_model(settings, guards, journal, spending))

    async def extract(
        self,
        state: WorkflowExecutionState,
        watcher: SignalWatcher,
        review: Review | None,
        present: Present,
        spending: SpendMeter,
        *,
        is_continued: bool,
    ) -> Extracted:
        request, settings = self._request, self._settings
        inputs = Inputs(self._storage.database, request.organization_id, settings.documents)
        document = await inputs.document(request.document)
        ontology = await inputs.ontology(request.ontology)
        policy = RetryPolicy(settings.retry.attempts, settings.retry.first_delay_seconds, settings.retry.jitter)
        async with AsyncExitStack() as opened:
            stages, link_model = await self._open_models(opened, spending)
            recorder = await opened.enter_async_context(
                ActivityRecorder(self._ledger, state.id, fence=self._fence.held)
            )
            await opened.enter_async_context(
                self._view.open(state, document, ontology.ontology, is_continued=is_continued)
            )
            durable_stages = await opened.enter_async_context(
                durable(stages, request.organization_id, self._storage, recorder, policy, self._fence.held)
            )
            pipeline = ExtractionPipeline(
                gated(durable_stages, watcher), self._observe(recorder), concurrency=settings.chat.max_concurrency
            )
            extraction_id = pipeline.extraction_id(document.id, ontology.ontology, request.options)
            await asyncio.to_thread(self._bind, state.id, document, ontology, extraction_id, stages)
            result = await pipeline.run(document, ontology.ontology, request.options)
            await watcher.let_finish()
            if review is not None and not await review.is_approved():
                await recorder.flush()
                spent = await asyncio.to_thread(self._ledger.statistics, state.id)
                statistics = _timed(with_costs(result.statistics, spent), state)
                found = Extracted(state.id, document, ontology, result, statistics, state.resumes)
                await review.hold(await present(found))
            questions = None if link_model is None else self._link_questions(link_model, recorder)
            await self._publish(recorder, result.graph, state.id, ontology.ontology, questions)
        ended = await self.close(state, ExecutionStatus.COMPLETED, None, result.statistics)
        return Extracted(state.id, document, ontology, result, ended.statistics, state.resumes)

    def _observe(self, recorder: ActivityRecorder) -> ProgressObserver:
        def observe(progress: ExtractionProgress) -> None:
            recorder.observe(progress)
            self._view.observe(progress)

        return observe

    def _bind(
        self,
        execution_id: ExecutionId,
        document: Document,
        ontology: StoredOntology,
        extraction_id: ExtractionId,
        stages: Stages,
    ) -> None:
        self._ledger.bind(
            execution_id,
            document.id,
            ontology.id,
            extraction_id,
            document_name=document.name,
            models={"stages": list(stages.identity), "extractors": [asdict(by) for by in stages.extractors()]},
            options=self._request.options.model_dump(mode="json"),
        )

    def _link_questions(self, model: LinkModel, recorder: ActivityRecorder) -> LinkQuestions:
        most = self._settings.linking.max_questions
        return LinkQuestions(self._database, self._request.organization_id, model, most, recorder, self._fence.held)

    async def _publish(
        self,
        recorder: ActivityRecorder,
        graph: KnowledgeGraph,
        execution_id: ExecutionId,
        ontology: Ontology,
        questions: LinkQuestions | None,
    ) -> None:
        policy = self._settings.retry

        @task(
            name=Stage.PUBLISH.value,
            task_run_name=Stage.PUBLISH.value,
            cache_policy=NO_CACHE,
            persist_result=False,
            retries=policy.attempts,
            retry_delay_seconds=policy.first_delay_seconds,
            retry_condition_fn=is_worth_retrying,
        )
        async def publish_graph() -> None:
            with recorder.attempt(Stage.PUBLISH, "document", None):
                await self._fence.held()
                organization_id = self._request.organization_id
                await asyncio.to_thread(publish, self._database, organization_id, graph, execution_id)
                await asyncio.to_thread(
                    link_entities, self._database, organization_id, graph.extraction_id, execution_id
                )
            if questions is not None:
                await questions.decide(graph.extraction_id, ontology, execution_id)

        await publish_graph()
        self._observe(recorder)(ExtractionProgress(Stage.PUBLISH, 1, 1))

    @property
    def _database(self) -> Database:
        return self._storage.database


def _timed(found: ExecutionStatistics, state: WorkflowExecutionState) -> ExecutionStatistics:
    """`found`, with the seconds since the execution began."""
    started = state.started_at or datetime.now(UTC)
    return replace(found, seconds=round((datetime.now(UTC) - started).total_seconds(), 3))
