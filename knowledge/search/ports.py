"""The port through which retrieval reads an organisation's index and graph."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from knowledge.domain import Span
from knowledge.ids import DocumentId, EntityId, EvidenceId, ExtractionId, OrganizationId, RelationId
from knowledge.search.embedding import IndexedModel, Vector
from knowledge.search.findings import Fact, FactEnd
from knowledge.search.kinds import EntryKind


@dataclass(frozen=True, slots=True)
class EntryHit:
    """An index entry that a channel found; `score` is the channel's own (cosine, or sum of term weights)."""

    text: str
    targets: tuple[str, ...]
    span: Span | None
    extraction_id: ExtractionId
    score: float


@dataclass(frozen=True, slots=True)
class Link:
    """A relation without its wording: who, what, whom; of a value its canonical form and that of the document."""

    id: RelationId
    subject_id: EntityId
    predicate: str
    object_id: EntityId | None
    confidence: float
    literal: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PredicateHit:
    """A predicate of the organisation's graphs, one of its names, and the cosine of question and name."""

    iri: str
    label: str
    cosine: float


@dataclass(frozen=True, slots=True)
class Quotation:
    """Evidence as its row has it, and what stands at its place in the document now."""

    text: str
    in_document: str


class CitationSource(Protocol):
    """What citations are opened in: one organisation's graph. Ids that it does not have are left out."""

    def entities(self, entity_ids: Sequence[EntityId]) -> Mapping[EntityId, FactEnd]:
        """These entities."""
        ...

    def facts(self, relation_ids: Sequence[RelationId], labels: Mapping[str, str]) -> Mapping[RelationId, Fact]:
        """These relations as facts with their evidence; `labels` names predicates (by IRI)."""
        ...

    def quotations(self, evidence_ids: Sequence[EvidenceId]) -> Mapping[EvidenceId, Quotation]:
        """These evidence spans."""
        ...


class SearchView(CitationSource, Protocol):
    """One organisation's index and graph as one transaction sees them."""

    def models(self) -> tuple[IndexedModel, ...]:
        """The models whose vectors the index holds."""
        ...

    def named(self, keys: Sequence[str], model: str) -> Mapping[str, tuple[EntityId, ...]]:
        """The entities that bear each of the names (folded); names that nothing bears are left out."""
        ...

    def predicates(self, vector: Vector, model: str) -> tuple[PredicateHit, ...]:
        """All predicates in use under each of their names, for each predicate the preferred one first."""
        ...

    def nearest(self, kind: EntryKind, vector: Vector, model: str, limit: int) -> tuple[EntryHit, ...]:
        """The entries whose vectors are nearest, by cosine; equal texts once."""
        ...

    def worded(self, question: str, model: str, limit: int) -> tuple[EntryHit, ...]:
        """The passages with the rarest of the question's words, by inverse document frequency."""
        ...

    def links(self, relation_ids: Sequence[RelationId]) -> Mapping[RelationId, Link]:
        """These relations."""
        ...

    def links_of(self, entity_ids: Sequence[EntityId], fits: Mapping[str, float], limit: int) -> tuple[Link, ...]:
        """The relations at these entities, those whose predicate (IRI) fits best first, at most `limit`."""
        ...

    def documents(self, extraction_ids: Sequence[ExtractionId]) -> Mapping[ExtractionId, tuple[DocumentId, str]]:
        """The document of each extraction, and its name."""
        ...


class SearchSource(Protocol):
    """Opens views of one organisation."""

    @property
    def organization_id(self) -> OrganizationId:
        """Whose index and graph."""
        ...

    def view(self) -> AbstractContextManager[SearchView]:
        """A view; everything read through it is of one moment."""
        ...
