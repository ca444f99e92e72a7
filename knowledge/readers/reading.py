"""The choice of a reader, and what all have in common."""

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from knowledge.documents import read_text
from knowledge.errors import ConfigurationError, DocumentRefused

_PLAIN, _MARKDOWN, _HTML, _PDF = "text/plain", "text/markdown", "text/html", "application/pdf"
_DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
_MEDIA_TYPES = {".md": _MARKDOWN, ".markdown": _MARKDOWN, ".html": _HTML, ".htm": _HTML, ".pdf": _PDF, ".docx": _DOCX}
# The reader of each type, its package, and whether it may take its process down with it.
_READERS = {_HTML: ("html", "selectolax", False), _PDF: ("pdf", "pypdf", True), _DOCX: ("docx", "docx", True)}
_LONGEST_SECONDS = 120.0


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
    module, package, is_dangerous = reader
    if find_spec(package) is None:
        raise ConfigurationError(
            f"{module.upper()} documents are read with a package that is not installed ({package}): "
            "pip install 'durable-knowledge[documents]'"
        )
    text = (read_apart if is_dangerous else read_here)(module, data, name, max_bytes)
    return ReadDocument(read_text(text.encode(), name, max_bytes), media_type)


def read_here(module: str, data: bytes, name: str, max_bytes: int) -> str:
    """The text by the reader of this name, imported when it is wanted: readers are an extra, and take their time.

    Raises:
        DocumentRefused: see the reader.
    """
    read: Callable[[bytes, str, int], str] = import_module(f"knowledge.readers.{module}").text_of
    return read(data, name, max_bytes)


def read_apart(module: str, data: bytes, name: str, max_bytes: int, seconds: float = _LONGEST_SECONDS) -> str:
    """As `read_here`, in a process that is bounded in time and memory: a file that ends its reader ends nobody else.

    Raises:
        DocumentRefused: see the reader; also when it did not come to an end.
    """
    header = json.dumps({"module": module, "name": name, "max_bytes": max_bytes, "seconds": seconds})
    command = [sys.executable, "-I", "-m", "knowledge.readers.worker"]
    try:
        done = subprocess.run(
            command, input=header.encode() + b"\n" + data, capture_output=True, timeout=seconds, check=False, env={}
        )
    except subprocess.TimeoutExpired as error:
        raise DocumentRefused(name, f"could not be read within {seconds:g} seconds: is it damaged?") from error
    if done.returncode != 0:
        raise DocumentRefused(name, "could not be read: it ended the process that tried, or takes too much memory")
    said: dict[str, str] = json.loads(done.stdout)
    if "refused" in said:
        raise DocumentRefused(name, said["refused"])
    return said["text"]
