"""Readers: from a document's bytes to its text, by what its name says it is."""

from knowledge.readers.reading import ReadDocument, read_document

__all__ = ["ReadDocument", "read_document"]
