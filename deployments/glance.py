"""One line about an execution, in whatever width there is, and how long it will still take."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from rich.cells import cell_len, set_cell_size

from knowledge.domain import ExecutionStatus, ExtractionProgress, Stage
from knowledge.progress import ProgressEvent

_NAME_CELLS = 40
_WINDOW = timedelta(seconds=60)
_SHORTEST_WINDOW = timedelta(seconds=2)
# With less to go by, an estimate would only be corrected.
_LEAST_PROGRESS = 0.03


@dataclass(frozen=True, slots=True)
class Glance:
    """What there is to say in a line: the document, what is done with it, how much is done, and what it took.

    `remaining_seconds` is None where that cannot be told.
    """

    name: str
    doing: str
    fraction: float
    model_calls: int
    cached_calls: int
    remaining_seconds: float | None = None

    def line(self, width: int) -> str:
        """The line, at most `width` cells; in a narrow one the bar goes first, the name is cut before the numbers."""
        calls, stored = f"{self.model_calls:>4} calls", f"{self.cached_calls:>4} stored"
        # Its place is kept, so that nothing moves when it comes and goes.
        remaining = "" if self.remaining_seconds is None else f"{duration(self.remaining_seconds)} left"
        doing, percent, remaining = f"{self.doing:<10}", f"{int(self.fraction * 100):>3}%", f"{remaining:>10}"
        for shortest_name, parts in (
            (24, (doing, self._bar(24), percent, calls, stored, remaining)),
            (12, (doing, self._bar(10), percent, calls, stored, remaining)),
            (12, (doing, percent, calls, stored, remaining)),
            (8, (doing, percent, calls, remaining)),
            (6, (doing, percent, remaining)),
            (4, (self.doing, percent)),
        ):
            rest = "  ".join(parts)
            room = width - cell_len(rest) - 2
            if room >= shortest_name:
                return f"{cut(self.name, min(room, _NAME_CELLS))}  {rest}".rstrip()
        return cut(f"{percent.strip()} {self.name}", width).rstrip()

    def _bar(self, cells: int) -> str:
        full = round(self.fraction * cells)
        return "█" * full + "░" * (cells - full)

    def sentence(self) -> str:
        """The same for a file or a screen reader, on as many cells as it takes."""
        left = "" if self.remaining_seconds is None else f", about {duration(self.remaining_seconds)} left"
        took = f"{self.model_calls} calls, {self.cached_calls} stored"
        return f"{self.name}: {self.doing} ({int(self.fraction * 100)}%, {took}{left})"


def cut(text: str, cells: int) -> str:
    """The text in exactly so many cells, with an ellipsis where something is missing."""
    if cell_len(text) <= cells:
        return set_cell_size(text, cells)
    return set_cell_size(text, cells - 1) + "…" if cells > 0 else ""


def duration(seconds: float) -> str:
    """A time span in two units at most, such as `1m20s`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    minutes, hours = whole // 60, whole // 3600
    return f"{minutes}m{whole % 60:02}s" if minutes < 60 else f"{hours}h{minutes % 60:02}m"


def current_stage(stages: Sequence[ExtractionProgress]) -> Stage:
    """The first stage that has something to do yet."""
    known = {step.stage: step for step in stages}
    return next((stage for stage in Stage if stage not in known or known[stage].fraction < 1), Stage.PUBLISH)


class Pace:
    """How fast an execution progresses, from the events of the last minute."""

    def __init__(self) -> None:
        self._steps: deque[tuple[datetime, float]] = deque()

    def take(self, event: ProgressEvent) -> None:
        """Something has happened. What changes the status also changes the pace: it is measured anew."""
        if event.current is None:
            self._steps.clear()
        self._steps.append((event.happened_at, event.fraction))
        while self._steps and event.happened_at - self._steps[0][0] > _WINDOW:
            self._steps.popleft()

    def remaining_seconds(self) -> float | None:
        """How long it will take from the last event on, at this pace; None if nothing can be said."""
        if not self._steps:
            return None
        (began, before), (ended, done) = self._steps[0], self._steps[-1]
        if ended - began < _SHORTEST_WINDOW or done - before < _LEAST_PROGRESS:
            return None
        return (1 - done) * (ended - began).total_seconds() / (done - before)


class Course:
    """What an execution's events add up to, as they come."""

    def __init__(self) -> None:
        self.last: ProgressEvent | None = None
        self._stages: dict[Stage, ExtractionProgress] = {}
        self._pace = Pace()

    def take(self, events: Sequence[ProgressEvent]) -> None:
        """What has happened."""
        for event in events:
            self.last = event
            self._pace.take(event)
            if event.stage is not None and event.current is not None and event.total is not None:
                self._stages[event.stage] = ExtractionProgress(event.stage, event.current, event.total, event.message)

    @property
    def number(self) -> int:
        """Of the last event; 0 before the first."""
        return 0 if self.last is None else self.last.number

    @property
    def fraction(self) -> float:
        """How much of the work is done, between 0 and 1."""
        return 0.0 if self.last is None else self.last.fraction

    @property
    def doing(self) -> str:
        """The stage that is worked on, or the status that keeps it from that; `waiting` before the first event."""
        if self.last is None:
            return ExecutionStatus.WAITING.value
        is_at_work = self.last.status is ExecutionStatus.RUNNING
        return current_stage(tuple(self._stages.values())).value if is_at_work else self.last.status.value

    def glance(self, name: str, doing: str | None = None) -> Glance:
        """All that in a line; `doing` in other words, if somebody knows better."""
        last = self.last
        if last is None:
            return Glance(name, doing or self.doing, 0.0, 0, 0)
        remaining = None if last.status.is_final else self._pace.remaining_seconds()
        return Glance(name, doing or self.doing, last.fraction, last.model_calls, last.cached_calls, remaining)
