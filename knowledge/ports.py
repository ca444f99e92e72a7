"""The ports through which the core reaches models and reports progress. Adapters live in `knowledge.models`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from knowledge.domain import ExtractionProgress, Extractor, Reading, Usage
from knowledge.ontology import Ontology


class ExtractionModel(Protocol):
    """Reads a passage with an ontology."""

    @property
    def extractor(self) -> Extractor:
        """Who answers."""
        ...

    async def read(self, passage: str, ontology: Ontology) -> Reading:
        """The mentions in the passage, the things they name and the facts stated, with spans relative to it.

        Mentions are in order of appearance and may overlap. Every relation has evidence spans.

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


ProgressObserver = Callable[[ExtractionProgress], None]
"""Is told how far an extraction is. Must not raise, and must return at once."""
