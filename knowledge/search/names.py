"""Names in questions: which stretches of a text are exactly an entity's name, whatever their case and punctuation."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from knowledge.search.words import STOP_WORDS, YES_OR_NO, words
from knowledge.stages.resolution import folded_name

MAX_NAME_WORDS = 16
_POSSESSIVE = re.compile(r"[’']s?$")
_WORD = re.compile(r"[^\s]+")
_PROPER = re.compile(r"\b[^\W\d_a-z][\w’'-]*")


@dataclass(frozen=True, slots=True)
class NameSpan:
    """A stretch of a question, in code points, and the key under which its name is indexed."""

    start: int
    end: int
    key: str
    words: int


def name_key(name: str) -> str:
    """The key of a name: without case, accents, punctuation and leading article. Empty when nothing is left."""
    return folded_name(name).strip()


def possible_names(question: str) -> tuple[NameSpan, ...]:
    """Every stretch of up to 16 words that could be a name, longest first, then in order."""
    places = [match.span() for match in _WORD.finditer(question)]
    found = [span for n in range(len(places)) for span in _from(question, places, n)]
    return tuple(sorted(found, key=lambda span: (-span.words, span.start)))


def _from(question: str, places: list[tuple[int, int]], first: int) -> Iterator[NameSpan]:
    start = places[first][0]
    for last in range(first, min(first + MAX_NAME_WORDS, len(places))):
        end = places[last][1]
        stretch = question[start:end].rstrip("?!.,;:")
        for text in dict.fromkeys((stretch, _POSSESSIVE.sub("", stretch))):
            if (key := name_key(text)) and any(char.isalnum() for char in key):
                yield NameSpan(start, start + len(text), key, last - first + 1)


def names_in(candidates: Collection[NameSpan], known: Collection[str]) -> tuple[NameSpan, ...]:
    """The candidates whose key is known, without those inside a longer one; in order of their place."""
    chosen: list[NameSpan] = []
    for span in sorted(candidates, key=lambda s: (-s.words, s.start, -(s.end - s.start))):
        inside = any(other.start < span.end and span.start < other.end for other in chosen)
        if span.key in known and not inside:
            chosen.append(span)
    return tuple(sorted(chosen, key=lambda s: s.start))


def proper_words(text: str) -> tuple[tuple[int, int], ...]:
    """The places of words that are part of some name: capitalised, and no stop word (which may begin a question)."""
    return tuple(
        (match.start(), match.end())
        for match in _PROPER.finditer(text)
        if any(words(match.group())) and not all(word in STOP_WORDS for word in words(match.group()))
    )


def whole_names(text: str, names: Collection[NameSpan]) -> tuple[NameSpan, ...]:
    """The names that are not part of a longer name that is unknown ("British Army" is not about the British).

    Of names with and without a capital those with one count: "state" in "head of state" is nobody's name beside
    "South Africa"; but what is to be said yes or no to ("Did Curie discover radium?") is all that is named. Names of
    stop words only ("Who" is a band) count only where there is no other.
    """
    proper = proper_words(text)
    whole = [name for name in names if not _is_part(text, name, names, proper)]
    capital = [name for name in whole if text[name.start : name.end] != text[name.start : name.end].lower()]
    if set(words(text)[:1]) & YES_OR_NO:
        capital = whole
    telling = [name for name in capital or whole if not all(word in STOP_WORDS for word in words(name.key))]
    return tuple(telling or capital or whole)


def _is_part(text: str, name: NameSpan, names: Collection[NameSpan], proper: Collection[tuple[int, int]]) -> bool:
    """Whether a capitalised word of no known name stands beside it, with only a space between."""
    for start, end in proper:
        beside = text[name.end : start] == " " or text[end : name.start] == " "
        if beside and not any(other.start <= start < other.end for other in names):
            return True
    return False


def masked(question: str, names: Collection[NameSpan], mask: str = "it") -> str:
    """The question with `mask` in the place of each name: what is asked, whoever it is asked about."""
    text = question
    for span in sorted(names, key=lambda s: -s.start):
        text = f"{text[: span.start]}{mask}{text[span.end :]}"
    return text
