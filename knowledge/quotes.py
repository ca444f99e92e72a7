"""Where a quotation stands in a text, when the one who quoted was not quite exact."""

import re
from collections.abc import Iterator
from functools import lru_cache

from knowledge.domain import Span

# All quotation marks are one: models that quote a quotation change them.
_PLAIN = str.maketrans(dict.fromkeys('“”„"‘’', "'") | {"–": "-", "—": "-", "\u00a0": " "})
_WHITE_SPACE = re.compile(r"\s+")


def occurrences(text: str, quote: str) -> tuple[Span, ...]:
    """All places of `quote` in `text`: exact ones, else those equal but for case, quote marks and white space."""
    if not quote.strip():
        return ()
    exact = tuple(_exact(text, quote))
    if exact:
        return exact
    wanted = re.compile(r"\s+".join(re.escape(word) for word in _plain(quote).split()), re.IGNORECASE)
    return tuple(Span(m.start(), m.end()) for m in wanted.finditer(_plain(text)))


def _exact(text: str, quote: str) -> Iterator[Span]:
    at = text.find(quote)
    while at >= 0:
        end = at + len(quote)
        yield Span(at, end)
        at = text.find(quote, end)


def locate(text: str, quote: str, sentences: tuple[Span, ...]) -> tuple[Span, ...]:
    """The spans that `quote` covers in `text`: one where it stands whole, else one for each quoted sentence.

    Nothing when the text does not say it.
    """
    whole = occurrences(text, quote)
    if whole:
        return whole[:1]
    folded = _folded(quote)
    return tuple(
        sentence
        for sentence in sentences
        if (piece := _folded(text[sentence.start : sentence.end])) and piece in folded
    )


@lru_cache(maxsize=64)
def _plain(text: str) -> str:
    """The text with typographic marks made plain, code point for code point."""
    return text.translate(_PLAIN)


def _folded(text: str) -> str:
    return _WHITE_SPACE.sub(" ", _plain(text)).strip().casefold()
