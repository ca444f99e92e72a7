"""The choice of a reader, and what all have in common."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import ModuleType
from urllib.parse import urlsplit

from knowledge.documents import read_text
from knowledge.errors import ConfigurationError, DocumentRefused

_PLAIN, _MARKDOWN, _HTML, _PDF = "text/plain", "text/markdown", "text/html", "application/pdf"
_DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_MEDIA_TYPES = {".md": _MARKDOWN, ".markdown": _MARKDOWN, ".html": _HTML, ".htm": _HTML, ".pdf": _PDF, ".docx": _DOCX}
_READERS = {_HTML: "html", _PDF: "pdf", _DOCX: "docx"}


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """A document's text, to which all offsets refer, and the type of what it was read from."""

    text: str
    media_type: str


def media_type_of(location: str, data: bytes = b"") -> str:
    """What a file is, by its name; where that says nothing, by how it begins. Anything else is plain text."""
    suffix = PurePosixPath(urlsplit(location).path or location).suffix.lower()
    if suffix in _MEDIA_TYPES:
        return _MEDIA_TYPES[suffix]
    return _PDF if data.startswith(b"%PDF-") else _PLAIN


def read_document(data: bytes, name: str, location: str, max_bytes: int) -> ReadDocument:
    """The text of a document of this `name` for people; the suffix of `location` says how it is written.

    Plain text and Markdown are taken code point for code point (see `read_text`). Of HTML, PDF and Word documents the
    text is a rendering: paragraphs are set apart by empty lines, and equal bytes give equal texts.

    Raises:
        DocumentRefused: too long, damaged, encrypted, or without text.
        ConfigurationError: the package that reads this type is not installed.
    """
    media_type = media_type_of(location, data)
    reader = _READERS.get(media_type)
    if reader is None:
        return ReadDocument(read_text(data, name, max_bytes), media_type)
    if len(data) > max_bytes:
        raise DocumentRefused(
            name,
            f"is longer than the {max_bytes:,} bytes accepted: split it, or raise KNOWLEDGE_DOCUMENTS__MAX_BYTES",
        )
    if not data:
        raise DocumentRefused(name, "is empty: there is nothing to extract from")
    read: Callable[[bytes, str, int], str] = _module(reader).text_of
    return ReadDocument(read_text(read(data, name, max_bytes).encode(), name, max_bytes), media_type)


def _module(reader: str) -> ModuleType:
    # Imported when wanted: they are an extra, and take their time.
    try:
        return importlib.import_module(f"knowledge.readers.{reader}")
    except ImportError as error:
        raise ConfigurationError(
            f"{reader.upper()} documents are read with packages that are not installed ({error.name}): "
            "pip install 'durable-knowledge[documents]'"
        ) from error
