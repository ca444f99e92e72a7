"""The ports through which the core reaches models and reports progress. Adapters live in `knowledge.models`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from knowledge.domain import (
    ExtractionProgress,
    Extractor,
    FoundEntities,
    FoundEntity,
    FoundMention,
    FoundMentions,
    FoundRelations,
    Usage,
)
from knowledge.ontology import Ontology


class ExtractionModel(Protocol):
    """Reads a passage with an ontology. Spans in questions and answers are relative to the passage.

    Every method raises the errors below `knowledge.errors.ModelError`, and no others on purpose.
    """

    @property
    def mentions_by(self) -> Extractor:
        """Who answers `find_mentions`."""
        ...

    @property
    def entities_by(self) -> Extractor:
        """Who answers `find_entities`."""
        ...

    @property
    def relations_by(self) -> Extractor:
        """Who answers `find_relations`."""
        ...

    async def find_mentions(self, text: str, ontology: Ontology) -> FoundMentions:
        """The places in `text` that name things, in order of appearance; overlapping ones are allowed."""
        ...

    async def find_entities(self, text: str, mentions: tuple[FoundMention, ...], ontology: Ontology) -> FoundEntities:
        """The things that `mentions` name: each mention belongs to at most one entity."""
        ...

    async def find_relations(
        self,
        text: str,
        mentions: tuple[FoundMention, ...],
        entities: tuple[FoundEntity, ...],
        ontology: Ontology,
    ) -> FoundRelations:
        """The facts that `text` states about `entities`, with the ontology's predicates and evidence spans."""
        ...


@dataclass(frozen=True, slots=True)
class EmbeddedTexts:
    """`vectors`: n_texts × dim, L2-normalised, in the order of the texts."""

    vectors: tuple[tuple[float, ...], ...]
    usage: Usage = field(default_factory=Usage)


class EmbeddingModel(Protocol):
    """Turns texts into vectors."""

    @property
    def model(self) -> str:
        """The model's name and version: vectors of different names are not comparable."""
        ...

    async def embed(self, texts: Sequence[str]) -> EmbeddedTexts:
        """One vector for each text; no texts give no vectors and cost no call."""
        ...


ProgressObserver = Callable[[ExtractionProgress], None]
"""Is told how far an extraction is. Must not raise, and must return at once."""
