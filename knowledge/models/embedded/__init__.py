"""The default adapters of the model ports: no key, no network. Their packages are the `embedded` extra."""

from knowledge.models.embedded.embeddings import EmbeddedEmbeddingModel
from knowledge.models.embedded.extraction import EmbeddedExtractionModel

__all__ = ["EmbeddedEmbeddingModel", "EmbeddedExtractionModel"]
