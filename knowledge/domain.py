"""The values of the domain: frozen, slotted, holding tuples.

Offsets are code points, half-open, and relative to the document's text unless a name says otherwise.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self

from knowledge.ids import (
    ChunkId,
    DocumentId,
    EntityId,
    EvidenceId,
    ExecutionId,
    ExtractionId,
    FlowRunId,
    MentionId,
    OntologyId,
    OrganizationId,
    RelationId,
    digest_of,
)


@dataclass(frozen=True, slots=True, order=True)
class Span:
    """A half-open range `[start, end)` of code points.

    Raises:
        ValueError: `start` is negative or `end` is not past it.
    """

    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"a span needs 0 <= start < end, not [{self.start}, {self.end})")

    def shifted(self, offset: int) -> Self:
        """This span moved by `offset` code points, e.g. from chunk-relative to document-relative."""
        return type(self)(self.start + offset, self.end + offset)

    def contains(self, other: "Span") -> bool:
        """Whether `other` lies within this span."""
        return self.start <= other.start and other.end <= self.end

    def overlaps(self, other: "Span") -> bool:
        """Whether the two share a code point."""
        return self.start < other.end and other.start < self.end


@dataclass(frozen=True, slots=True)
class Document:
    """A text of an organisation. `name` is what people call it (a file's stem); the id comes from the text."""

    id: DocumentId
    organization_id: OrganizationId
    name: str
    text: str
    source: str

    @classmethod
    def of(cls, organization_id: OrganizationId, name: str, text: str, source: str = "") -> Self:
        """The document with this text; equal texts of an organisation have equal ids."""
        return cls(DocumentId.derive(organization_id, text), organization_id, name, text, source or name)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of whole sentences: `text == document.text[span.start:span.end]`.

    `lead` is the text directly before it that models are shown with it; `passage` is both, from `passage_start` on.
    """

    id: ChunkId
    index: int
    span: Span
    text: str
    lead: str = ""

    @property
    def passage(self) -> str:
        """What a model reads at once."""
        return self.lead + self.text

    @property
    def passage_start(self) -> int:
        """Where the passage begins in the document."""
        return self.span.start - len(self.lead)


@dataclass(frozen=True, slots=True)
class Extractor:
    """Who made a fact: an adapter, its model and the prompt (name and digest) that asked for it.

    Remote models have `prompt`; embedded ones are fully named by `name`, `model` and `settings`.
    """

    name: str
    model: str
    prompt: str = ""
    settings: str = ""

    @property
    def digest(self) -> str:
        """64 hex digits that change whenever the extractor could answer differently."""
        return digest_of(self.name, self.model, self.prompt, self.settings)


@dataclass(frozen=True, slots=True)
class Mention:
    """A place in the document that names an entity: `text == document.text[span.start:span.end]`."""

    id: MentionId
    span: Span
    text: str
    entity_id: EntityId
    chunk_id: ChunkId
    extractor: Extractor


@dataclass(frozen=True, slots=True)
class Entity:
    """A thing: its main label, other surface forms, and its ontology classes as IRIs, the most telling first."""

    id: EntityId
    label: str
    classes: tuple[str, ...]
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Literal:
    """A typed value: `lexical` in the form of the XSD `datatype` IRI, `surface` as the text has it."""

    lexical: str
    datatype: str
    surface: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """A span of the document that states a relation."""

    id: EvidenceId
    span: Span
    text: str
    chunk_id: ChunkId
    extractor: Extractor


@dataclass(frozen=True, slots=True)
class Relation:
    """A fact: a predicate (IRI) from an entity to another one, or to a literal; exactly one of the two is set.

    `flags` say in what way its ends contradict the ontology, if they do.
    """

    id: RelationId
    subject_id: EntityId
    predicate: str
    object_id: EntityId | None
    literal: Literal | None
    confidence: float
    evidence: tuple[Evidence, ...]
    flags: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.object_id is None) == (self.literal is None):
            raise ValueError("a relation has either an object entity or a literal")


@dataclass(frozen=True, slots=True)
class EntityEmbedding:
    """An entity's vector (L2-normalised) under a model, and the text it was made from."""

    entity_id: EntityId
    model: str
    text: str
    vector: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class KnowledgeGraph:
    """What an extraction found, each tuple sorted by id: equal findings are equal graphs."""

    extraction_id: ExtractionId
    document_id: DocumentId
    ontology_id: OntologyId
    entities: tuple[Entity, ...] = ()
    mentions: tuple[Mention, ...] = ()
    relations: tuple[Relation, ...] = ()
    embeddings: tuple[EntityEmbedding, ...] = ()


class Stage(StrEnum):
    """The stages, in order."""

    CHUNK = "chunk"
    MENTIONS = "mentions"
    ENTITIES = "entities"
    RELATIONS = "relations"
    EMBEDDINGS = "embeddings"
    ASSEMBLE = "assemble"
    RESOLVE = "resolve"
    PUBLISH = "publish"


class ExecutionStatus(StrEnum):
    """Where an execution stands.

    A `paused` one has a process that begins nothing. A `waiting` one has none: until somebody decides its review or
    raises its spend ceiling, or until a model endpoint answers again.
    """

    PENDING = "pending"
    RUNNING = "running"
    PAUSED = "paused"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen to the execution."""
        return self in {ExecutionStatus.COMPLETED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED}


class ActivityStatus(StrEnum):
    """How an attempt of a stage on an item stands or ended."""

    RUNNING = "running"
    COMPLETED = "completed"
    CACHED = "cached"
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Usage:
    """What questions cost: `model_calls` put to a chat model or extractor, `embedding_calls`, and tokens."""

    model_calls: int = 0
    embedding_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.model_calls + other.model_calls,
            self.embedding_calls + other.embedding_calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
        )


@dataclass(frozen=True, slots=True)
class ExecutionStatistics:
    """An execution in numbers. `cached_calls` were answered from stored results instead of by a model."""

    chunks: int = 0
    mentions: int = 0
    entities: int = 0
    relations: int = 0
    model_calls: int = 0
    cached_calls: int = 0
    embedding_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    failed_items: int = 0
    rejected: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class WorkflowExecutionState:
    """The mirror of one execution: what `workflow_execution` holds of it.

    `holder` names the process that works on it, or worked on it last; None while it waits for one. `fraction` of the
    work is done, between 0 and 1.
    """

    id: ExecutionId
    organization_id: OrganizationId
    flow_run_id: FlowRunId | None
    document_id: DocumentId | None
    ontology_id: OntologyId | None
    extraction_id: ExtractionId | None
    document_name: str
    status: ExecutionStatus
    stage: Stage | None
    error: str | None
    resumes: int
    statistics: ExecutionStatistics
    pid: int | None
    host: str | None
    holder: str | None
    started_at: datetime | None
    ended_at: datetime | None
    fraction: float = 0.0


@dataclass(frozen=True, slots=True)
class ExtractionProgress:
    """How far a stage of an execution is: `completed` of `total` items."""

    stage: Stage
    completed: int
    total: int
    message: str = ""

    @property
    def fraction(self) -> float:
        """Between 0 and 1; a stage without items is done."""
        return 1.0 if self.total == 0 else min(1.0, self.completed / self.total)
