"""Dates in questions: days, months and years that facts are to be about."""

import re
from collections.abc import Collection, Iterable

from knowledge.search.names import NameSpan
from knowledge.search.words import words

_MONTH = (
    "(?:january|february|march|april|may|june|july|august|september|october|november|december|"
    "jan|feb|mar|apr|jun|jul|aug|sep|sept|oct|nov|dec)"
)
_YEAR = r"(?:1\d{3}|20\d{2})"
_DATE = re.compile(
    rf"\b(?:{_YEAR}-\d\d-\d\d|(?:\d{{1,2}} )?{_MONTH}\.?,? {_YEAR}|{_MONTH}\.? \d{{1,2}},? {_YEAR}|{_YEAR})\b",
    re.IGNORECASE,
)


def dates_in(question: str, names: Collection[NameSpan]) -> tuple[NameSpan, ...]:
    """The dates that are no part of a name, in order; the key of one is its text."""
    found = (match for match in _DATE.finditer(question))
    return tuple(
        NameSpan(match.start(), match.end(), match.group(), len(match.group().split()))
        for match in found
        if not any(name.start < match.end() and match.start() < name.end for name in names)
    )


def is_dated(texts: Iterable[str], date: str) -> bool:
    """Whether one of the texts has all words of the date: "1937" is in "19 October 1937"."""
    wanted = set(words(date))
    return any(wanted <= set(words(text)) for text in texts)
