"""From bytes to a document's text, or a refusal that says what is wrong with them."""

from pathlib import PurePosixPath

from knowledge.errors import DocumentRefused

DOCUMENT_SUFFIXES = (".txt", ".md", ".markdown", ".html", ".htm", ".pdf", ".docx")
"""What documents are called; other names are read as plain text, if they are named themselves."""
_BINARY_SHARE = 0.02  # of control characters that no text file has
_TEXT_CONTROLS = {"\t", "\n", "\r", "\f", "\v", "\x85"}


def read_text(data: bytes, name: str, max_bytes: int) -> str:
    """The UTF-8 text in `data`, code point for code point (line ends included), without a byte-order mark.

    Raises:
        DocumentRefused: longer than `max_bytes`, not UTF-8, binary, or without anything but white space.
    """
    if len(data) > max_bytes:
        raise DocumentRefused(
            name,
            f"is longer than the {max_bytes:,} bytes accepted: split it, or raise KNOWLEDGE_DOCUMENTS__MAX_BYTES",
        )
    text = _decoded(data, name)
    if not text:
        raise DocumentRefused(name, "is empty: there is nothing to extract from")
    if not text.strip():
        raise DocumentRefused(name, "holds white space only: there is nothing to extract from")
    controls = sum(1 for c in text if (c < " " or "\x7f" <= c < "\xa0") and c not in _TEXT_CONTROLS)
    if "\0" in text or controls > _BINARY_SHARE * len(text):
        raise DocumentRefused(name, "looks binary, not text: convert it to plain UTF-8 text first")
    return text


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if b"\0" in data[:1024] and not data.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise DocumentRefused(name, "looks binary, not text: convert it to plain UTF-8 text first") from error
        raise DocumentRefused(
            name, f"is not UTF-8 (at byte {error.start:,}): save it in that encoding, e.g. with iconv"
        ) from error


def document_name(location: str) -> str:
    """What a document from this path or URL is called: the file's stem."""
    return PurePosixPath(location.rstrip("/").replace("\\", "/")).stem or location
