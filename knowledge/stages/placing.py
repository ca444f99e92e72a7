"""Where a passage has the mentions that a model lists, whatever the model says about their offsets."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from knowledge.domain import Span
from knowledge.findings import ListedMention
from knowledge.quotes import occurrences

# Models count characters badly, but often nearly right.
_NEAR_CHARACTERS = 20


@dataclass(slots=True)
class Placing:
    """The places of each thing's mentions, by the thing's index; `missing` are (thing, text) without a place."""

    spans: list[set[Span]]
    missing: list[tuple[int, str]] = field(default_factory=list[tuple[int, str]])


def place_mentions(passage: str, things: Sequence[Sequence[ListedMention]]) -> Placing:
    """A place in the passage for each listed mention of each thing.

    Exact offsets are believed first, so that namesakes keep apart, and may put two things at one place. Then those
    that are nearly right. Then each mention takes the first place of its text that is free: not another thing's, not
    within a longer name, not within a word. A mention listed more often than the passage has it is the same mention.
    """
    placer = _Placer(passage, len(things))
    left = [(thing, item) for thing, items in enumerate(things) for item in items]
    for place in (placer.exact, placer.near, placer.first_free):
        left = [(thing, item) for thing, item in left if not place(thing, item)]
    return Placing(placer.spans, [(thing, item.text) for thing, item in left])


def place_name(passage: str, name: str) -> tuple[Span, ...]:
    """All whole-word places of a name."""
    return tuple(span for span in occurrences(passage, name.strip()) if is_whole(passage, span))


def is_whole(text: str, span: Span) -> bool:
    """Whether the span begins and ends at word borders."""
    before = text[span.start - 1 : span.start]
    return not (before.isalnum() or text[span.end : span.end + 1].isalnum())


class _Placer:
    def __init__(self, passage: str, n_things: int) -> None:
        self._passage = passage
        self._found: dict[str, tuple[Span, ...]] = {}
        self._takers: defaultdict[Span, set[int]] = defaultdict(set)
        self.spans: list[set[Span]] = [set() for _ in range(n_things)]

    def exact(self, thing: int, item: ListedMention) -> bool:
        return self._take(thing, (span for span in self._places(item) if span.start == item.start))

    def near(self, thing: int, item: ListedMention) -> bool:
        if item.start <= 0:
            return False
        close = [s for s in self._free(thing, item) if abs(s.start - item.start) <= _NEAR_CHARACTERS]
        return self._take(thing, iter(sorted(close, key=lambda span: abs(span.start - item.start))))

    def first_free(self, thing: int, item: ListedMention) -> bool:
        free = self._free(thing, item)
        if not free:
            return bool(self._places(item))
        return self._take(thing, iter(sorted(free, key=lambda span: (self._obstacle(span), span))))

    def _obstacle(self, span: Span) -> int:
        """0 for a free place; the higher, the worse."""
        within = any(taken != span and taken.contains(span) for taken in self._takers)
        return 4 * (not is_whole(self._passage, span)) + 2 * bool(self._takers.get(span)) + within

    def _free(self, thing: int, item: ListedMention) -> list[Span]:
        return [span for span in self._places(item) if span not in self.spans[thing]]

    def _places(self, item: ListedMention) -> tuple[Span, ...]:
        text = item.text.strip()
        if text not in self._found:
            self._found[text] = occurrences(self._passage, text)
        return self._found[text]

    def _take(self, thing: int, places: Iterator[Span]) -> bool:
        span = next(places, None)
        if span is None:
            return False
        self.spans[thing].add(span)
        self._takers[span].add(thing)
        return True
