"""Text put together from pieces that a document sets apart."""

import re
from collections.abc import Iterable

_SPACES = re.compile(r"[^\S\n]+")
_AROUND_BREAKS = re.compile(r" ?\n ?")
_MANY_BREAKS = re.compile(r"\n{3,}")
_UNPRINTABLE = re.compile(r"[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff]")


def joined(paragraphs: Iterable[str]) -> str:
    """The paragraphs with an empty line between two; white space within them is one space or one line break."""
    cleaned = (tidied(paragraph) for paragraph in paragraphs)
    return "\n\n".join(paragraph for paragraph in cleaned if paragraph)


def tidied(text: str) -> str:
    """The text with single spaces, at most one empty line, and nothing unprintable."""
    text = _UNPRINTABLE.sub("", text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n\n"))
    return _MANY_BREAKS.sub("\n\n", _AROUND_BREAKS.sub("\n", _SPACES.sub(" ", text))).strip()
