"""Offsets for JavaScript, which counts UTF-16 code units where we count code points."""

from bisect import bisect_left

from knowledge.domain import Span

_LAST_OF_ONE_UNIT = "\uffff"


class CodeUnits:
    """Where the code points of a text are in UTF-16. Those past U+FFFF take two units, all others one."""

    def __init__(self, text: str) -> None:
        wide = not text.isascii() and max(text) > _LAST_OF_ONE_UNIT
        self._wide = [place for place, point in enumerate(text) if point > _LAST_OF_ONE_UNIT] if wide else []

    def span(self, span: Span) -> tuple[int, int]:
        """The half-open span in code units."""
        return self._offset(span.start), self._offset(span.end)

    def _offset(self, place: int) -> int:
        return place + bisect_left(self._wide, place)
