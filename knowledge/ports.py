"""The ports through which the core reaches models and reports progress. Adapters live in `knowledge.models`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from knowledge.domain import ExtractionProgress, Extractor, Usage
from knowledge.doubtful_links import DoubtfulPair, Verdicts
from knowledge.findings import FoundMentions
from knowledge.ontology import Ontology


class ExtractionModel(Protocol):
    """Reads a passage with an ontology."""

    @property
    def extractor(self) -> Extractor:
        """Who answers."""
        ...

    async def read(self, passage: str, ontology: Ontology) -> FoundMentions:
        """The mentions in the passage, and what is said there about the things that they name, in one go.

        Mentions are in order of appearance and may overlap; every thing that one names is listed.

        Raises:
            ModelError: one of its leaves, and no others on purpose.
        """
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


class LinkModel(Protocol):
    """Says of pairs of entities whether they are one thing."""

    @property
    def by(self) -> Extractor:
        """Who says so."""
        ...

    async def decide(self, pairs: Sequence[DoubtfulPair]) -> Verdicts:
        """A verdict on each pair, in their order, from one question.

        Raises:
            ModelError: one of its leaves.
        """
        ...


ProgressObserver = Callable[[ExtractionProgress], None]
"""Is told how far an extraction is. Must not raise, and must return at once."""
