"""What search finds: facts with their evidence, entities and passages, each with the ranks that brought it up."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from knowledge.domain import Literal, Span
from knowledge.ids import DocumentId, EntityId, EvidenceId, ExtractionId, RelationId


@dataclass(frozen=True, slots=True)
class FactEnd:
    """An entity as a fact names it."""

    id: EntityId
    label: str
    aliases: tuple[str, ...]
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FactEvidence:
    """A span of the fact's document that states it: code points, half-open."""

    id: EvidenceId
    span: Span
    text: str


@dataclass(frozen=True, slots=True)
class Fact:
    """A relation as it can be read: who, what, whom, where it says so. Exactly one of `object` and `literal` is set."""

    id: RelationId
    extraction_id: ExtractionId
    document_id: DocumentId
    document_name: str
    subject: FactEnd
    predicate: str
    predicate_label: str
    object: FactEnd | None
    literal: Literal | None
    confidence: float
    evidence: tuple[FactEvidence, ...]

    @property
    def object_text(self) -> str:
        """The object as people read it."""
        if self.object is not None:
            return self.object.label
        return self.literal.surface if self.literal else ""

    @property
    def text(self) -> str:
        """The fact in a line."""
        return f"{self.subject.label} — {self.predicate_label} — {self.object_text}"

    @property
    def ends(self) -> tuple[FactEnd, ...]:
        """The entities at its ends."""
        return (self.subject,) if self.object is None else (self.subject, self.object)


@dataclass(frozen=True, slots=True)
class FoundPassage:
    """Evidence that search found, and the relations that it states."""

    text: str
    span: Span
    document_id: DocumentId
    document_name: str
    relations: tuple[RelationId, ...]
    score: float
    ranks: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class FoundEntity:
    """An entity that search found."""

    entity: FactEnd
    score: float
    ranks: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class FoundFact:
    """A fact that search found.

    `fit` (0 to 1) is how well it answers the question: `name_fit` (is it about what the question names) times
    `predicate_fit` (is it what the question asks). `hops` counts the facts between it and what was named; `via` are
    those facts, in order.
    """

    fact: Fact
    score: float
    name_fit: float
    predicate_fit: float
    hops: int = 0
    via: tuple[RelationId, ...] = ()
    ranks: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def fit(self) -> float:
        """How well the fact answers the question."""
        return self.name_fit * self.predicate_fit


@dataclass(frozen=True, slots=True)
class AskedPredicate:
    """A predicate and how well it is what the question asks, from 0 to 1."""

    iri: str
    label: str
    fit: float


@dataclass(frozen=True, slots=True)
class Findings:
    """What a question brings up, best first. `named` are the stretches of it that are names of entities,
    `dates` those that are dates.
    """

    question: str
    facts: tuple[FoundFact, ...]
    entities: tuple[FoundEntity, ...]
    passages: tuple[FoundPassage, ...]
    named: tuple[str, ...]
    asked: tuple[AskedPredicate, ...]
    milliseconds: Mapping[str, float]
    dates: tuple[str, ...] = ()
