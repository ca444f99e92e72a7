"""The pipeline: owns the order of the stages, once, whoever runs them."""

import time
from asyncio import Event, Semaphore, TaskGroup
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field

from knowledge.domain import (
    Chunk,
    Document,
    ExecutionStatistics,
    ExtractionProgress,
    KnowledgeGraph,
    Stage,
    Usage,
)
from knowledge.errors import KnowledgeError
from knowledge.findings import Rejection
from knowledge.ids import DocumentId, ExtractionId, OntologyId, OrganizationId
from knowledge.ontology import Ontology
from knowledge.ports import ProgressObserver
from knowledge.stages.assembly import ChunkFindings
from knowledge.stages.calls import StageAnswer
from knowledge.stages.stages import Stages
from knowledge.stages.validation import without_violations

Item = TypeVar("Item")
Begun = TypeVar("Begun")
Outcome = TypeVar("Outcome")
Value = TypeVar("Value")

DEFAULT_CONCURRENCY = 8
# Chunks that wait for each other share what their stages cost; a model is asked by no more at once than it allows.
_COMPLETED_AT_ONCE = 16
CHUNK_STAGES = (Stage.MENTIONS, Stage.ENTITIES, Stage.RELATIONS, Stage.EMBEDDINGS)
"""The stages of each chunk, in order."""
MODEL_STAGES = (Stage.MENTIONS, Stage.EMBEDDINGS)
"""Those of them that ask a model."""


class ExtractionOptions(BaseModel):
    """What a run may choose about how its document is read."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    chunk_characters: int = Field(
        default=4000,
        ge=200,
        le=20_000,
        title="Chunk size",
        description="Longest chunk, in characters, that a model is asked about at once.",
    )
    lead_characters: int = Field(
        default=800,
        ge=0,
        le=5_000,
        title="Lead",
        description="So many characters before a chunk, in whole sentences, are shown and read with it.",
    )
    strict: bool = Field(
        default=False,
        title="Strict",
        description="Leave out facts outside their predicate's domain or range instead of flagging them.",
    )


@dataclass(frozen=True, slots=True)
class ItemFailure:
    """A stage that failed for one chunk while the run went on."""

    stage: Stage
    chunk_index: int
    message: str


@dataclass(frozen=True, slots=True)
class ExtractionResult:
    """A document's graph, what it took, and what was left out on the way."""

    graph: KnowledgeGraph
    chunks: tuple[Chunk, ...]
    statistics: ExecutionStatistics
    failures: tuple[ItemFailure, ...] = ()
    rejections: tuple[Rejection, ...] = ()


def ontology_id_of(organization_id: OrganizationId, ontology: Ontology) -> OntologyId:
    """The id under which an organisation knows an ontology: equal content, equal id."""
    return OntologyId.derive(organization_id, ontology.digest)


@dataclass(slots=True)
class _Run:
    """What one run gathers as it goes."""

    usage: Usage = field(default_factory=Usage)
    cached_calls: int = 0
    failures: list[ItemFailure] = field(default_factory=list[ItemFailure])
    rejections: list[Rejection] = field(default_factory=list[Rejection])
    completed: Counter[Stage] = field(default_factory=Counter[Stage])


class ExtractionPipeline:
    """Extracts a graph from a document with the given stages, plain or durable, so many chunks at once."""

    def __init__(
        self, stages: Stages, observer: ProgressObserver | None = None, *, concurrency: int = DEFAULT_CONCURRENCY
    ) -> None:
        self._stages = stages
        self._observer = observer
        self._concurrency = concurrency

    def extraction_id(self, document_id: DocumentId, ontology: Ontology, options: ExtractionOptions) -> ExtractionId:
        """Names what is extracted: document, ontology, models and those options that can change the graph."""
        chosen = (f"{name}={value}" for name, value in sorted(options.model_dump().items()))
        return ExtractionId.derive(document_id, ontology.digest, *self._stages.identity, *chosen)

    async def run(
        self, document: Document, ontology: Ontology, options: ExtractionOptions | None = None
    ) -> ExtractionResult:
        """The document's graph: chunk, then mentions, entities, relations and embeddings of each chunk, then the whole.

        A stage that fails for one chunk only is recorded in `failures`, and the rest goes on.

        Raises:
            KnowledgeError: what failed was not one item's own; calls under way are awaited first, because
                their answers may already be paid for.
        """
        started = time.monotonic()
        options = options or ExtractionOptions()
        run = _Run()
        extraction_id = self.extraction_id(document.id, ontology, options)
        ontology_id = ontology_id_of(document.organization_id, ontology)
        sizes = (options.chunk_characters, options.lead_characters)
        chunks = (await self._stages.chunk(document, *sizes)).value
        self._report(Stage.CHUNK, 1, 1)
        await self._stages.expect_mentions(chunks, ontology)
        findings = await _one_ahead(
            chunks,
            lambda chunk: self._ask_about(chunk, ontology, len(chunks), run),
            lambda findings: self._complete(findings, ontology, len(chunks), run),
            self._concurrency,
        )
        assembly = (await self._stages.assemble(findings)).value
        self._report(Stage.ASSEMBLE, 1, 1)
        graph = (await self._stages.resolve(assembly, document, ontology, ontology_id, extraction_id)).value
        if options.strict:
            graph, left_out = without_violations(graph)
            run.rejections.extend(left_out)
        self._report(Stage.RESOLVE, 1, 1)
        statistics = _statistics(graph, len(chunks), run, time.monotonic() - started)
        failures = tuple(sorted(run.failures, key=lambda failure: failure.chunk_index))
        return ExtractionResult(graph, chunks, statistics, failures, tuple(run.rejections))

    async def _ask_about(self, chunk: Chunk, ontology: Ontology, total: int, run: _Run) -> StageAnswer[ChunkFindings]:
        """The chunk's mentions, if it does not fail."""
        try:
            answer = await self._stages.mentions(chunk, ontology)
        except KnowledgeError as error:
            self._skip_from(Stage.MENTIONS, chunk, error, total, run)
            return StageAnswer(ChunkFindings(chunk))
        mentions = self._account(run, answer)
        self._advance(run, Stage.MENTIONS, total)
        return StageAnswer(ChunkFindings(chunk, mentions), answer.cached)

    async def _complete(self, findings: ChunkFindings, ontology: Ontology, total: int, run: _Run) -> ChunkFindings:
        """The findings with what the stages after mentions make of them."""
        chunk, mentions, stages = findings.chunk, findings.mentions, self._stages
        if mentions is None:
            return findings
        reached = Stage.ENTITIES
        try:
            entities = self._account(run, await stages.entities(chunk, mentions, ontology))
            findings = replace(findings, entities=entities)
            self._advance(run, reached, total)
            reached = Stage.RELATIONS
            relations = self._account(run, await stages.relations(chunk, mentions, entities, ontology))
            findings = replace(findings, relations=relations)
            self._advance(run, reached, total)
            reached = Stage.EMBEDDINGS
            embeddings = self._account(run, await stages.embeddings(chunk, entities, ontology))
            findings = replace(findings, embeddings=embeddings)
            self._advance(run, reached, total)
        except KnowledgeError as error:
            self._skip_from(reached, chunk, error, total, run)
        return findings

    def _skip_from(self, stage: Stage, chunk: Chunk, error: KnowledgeError, total: int, run: _Run) -> None:
        """Takes note that a chunk goes no further, if the error is its own.

        Raises:
            KnowledgeError: it is not.
        """
        if not error.fails_item_only:
            raise error
        run.failures.append(ItemFailure(stage, chunk.index, error.message))
        for skipped in CHUNK_STAGES[CHUNK_STAGES.index(stage) :]:
            self._advance(run, skipped, total)

    def _account(self, run: _Run, answer: StageAnswer[Value]) -> Value:
        usage: Usage = getattr(answer.value, "usage", Usage())
        if answer.cached:
            run.cached_calls += usage.model_calls
        else:
            run.usage += usage
        run.rejections.extend(getattr(answer.value, "rejections", ()))
        return answer.value

    def _advance(self, run: _Run, stage: Stage, total: int) -> None:
        run.completed[stage] += 1
        self._report(stage, run.completed[stage], total)

    def _report(self, stage: Stage, completed: int, total: int) -> None:
        if self._observer is not None:
            self._observer(ExtractionProgress(stage, completed, total))


def _statistics(graph: KnowledgeGraph, chunks: int, run: _Run, seconds: float) -> ExecutionStatistics:
    return ExecutionStatistics(
        chunks=chunks,
        mentions=len(graph.mentions),
        entities=len(graph.entities),
        relations=len(graph.relations),
        model_calls=run.usage.model_calls,
        cached_calls=run.cached_calls,
        embedding_calls=run.usage.embedding_calls,
        input_tokens=run.usage.input_tokens,
        output_tokens=run.usage.output_tokens,
        failed_items=len(run.failures),
        rejected=len(run.rejections),
        seconds=round(seconds, 3),
    )


async def _one_ahead(
    items: Sequence[Item],
    begin: Callable[[Item], Awaitable[StageAnswer[Begun]]],
    complete: Callable[[Begun], Awaitable[Outcome]],
    concurrency: int,
) -> list[Outcome]:
    """The outcomes in the order of the items, at most `concurrency` begun at once, and some more completed.

    Beginnings do not wait for completions, and nothing is completed until one beginning was not answered from what is
    stored, or all are over: so a resumed run soon puts what nobody has answered, however much was answered before.
    After a KnowledgeError nothing more is begun or completed, what is under way is finished, and then it is raised.
    """
    outcomes: dict[int, Outcome] = {}
    errors: list[KnowledgeError] = []
    beginning, completing = Semaphore(concurrency), Semaphore(max(concurrency, _COMPLETED_AT_ONCE))
    left, caught_up = len(items), Event()

    async def work(n: int, item: Item) -> None:
        nonlocal left
        try:
            async with beginning:
                if errors:
                    return
                begun = await begin(item)
            left -= 1
            if not begun.cached or not left:
                caught_up.set()
            await caught_up.wait()
            async with completing:
                if not errors:
                    outcomes[n] = await complete(begun.value)
        except KnowledgeError as error:
            errors.append(error)
            caught_up.set()

    async with TaskGroup() as group:
        for n, item in enumerate(items):
            group.create_task(work(n, item))
    if errors:
        raise errors[0]
    return [outcomes[n] for n in range(len(items))]
