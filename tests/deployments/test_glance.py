"""One line about a run, in whatever width there is."""

from datetime import UTC, datetime, timedelta

import pytest
from rich.cells import cell_len

from deployments.glance import Course, Glance, duration
from knowledge.domain import ExecutionStatus, Stage
from knowledge.ids import ExecutionId
from knowledge.progress import ProgressEvent

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
EXECUTION = ExecutionId.new()
NAMES = ("curie.txt", "a_rather_long_name_of_a_document.txt", "居里夫人传.txt")


def event(
    number: int,
    seconds: float,
    fraction: float,
    current: int | None = 1,
    status: ExecutionStatus = ExecutionStatus.RUNNING,
) -> ProgressEvent:
    """An event so many seconds after noon; of the mentions stage, if it is about one."""
    at = NOON + timedelta(seconds=seconds)
    total = None if current is None else 10
    return ProgressEvent(EXECUTION, number, status, Stage.MENTIONS, current, total, fraction, 7, 3, "", at)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("width", range(1, 161, 3))
def test_a_line_never_wraps(name: str, width: int) -> None:
    """A line that is wider than the terminal breaks the display of all others; wide characters take two cells."""
    for remaining in (None, 3.0, 400_000.0):
        line = Glance(name, "embeddings", 0.62, 12_345, 123, remaining).line(width)
        assert cell_len(line) <= width


def test_a_narrow_line_gives_up_the_bar_before_the_numbers_and_the_numbers_before_the_stage() -> None:
    """What matters most is there down to 20 columns."""
    glance = Glance("curie.txt", "mentions", 0.62, 24, 12, 80.0)
    assert glance.line(120).split("  ", 1)[1].strip() == (
        "mentions    ███████████████░░░░░░░░░   62%    24 calls    12 stored  1m20s left"
    )
    assert "█" in glance.line(80)
    assert glance.line(70).split() == ["curie.txt", "mentions", "62%", "24", "calls", "12", "stored", "1m20s", "left"]
    assert glance.line(40).split() == ["curie.txt", "mentions", "62%", "1m20s", "left"]
    assert glance.line(20).split() == ["cur…", "mentions", "62%"]


def test_nothing_moves_when_the_estimate_comes_or_goes() -> None:
    """A calm line: only what has changed looks changed."""
    with_estimate, without = (Glance("curie.txt", "mentions", 0.5, 1, 1, left).line(80) for left in (80.0, None))
    assert with_estimate.startswith(without)


def test_the_time_left_is_told_from_the_pace_of_the_last_minute() -> None:
    """What was replayed in a second after a resume says nothing about what is to be asked."""
    course = Course()
    course.take([event(1, 0, 0.0, None), event(2, 1, 0.01)])
    assert course.glance("d").remaining_seconds is None
    course.take([event(3, 10, 0.2)])
    assert course.glance("d").remaining_seconds == pytest.approx(40.0)
    course.take([event(4, 100, 0.2, None, ExecutionStatus.PAUSED)])
    assert (course.glance("d").doing, course.glance("d").remaining_seconds) == ("paused", None)
    course.take([event(5, 200, 0.2, None), event(6, 210, 0.4)])
    assert course.glance("d").remaining_seconds == pytest.approx(30.0)
    course.take([event(7, 211, 1.0, None, ExecutionStatus.COMPLETED)])
    assert (course.glance("d").doing, course.glance("d").remaining_seconds) == ("completed", None)


def test_what_is_worked_on_is_the_first_stage_that_is_not_through() -> None:
    """Mentions run ahead: that some embeddings are there says little."""
    course = Course()
    assert course.glance("d").doing == "waiting"
    course.take([event(1, 0, 0.0, None), event(2, 1, 0.1, 1)])
    assert course.doing == "chunk"
    assert course.number == 2


def test_spans_of_time_have_two_units_at_most() -> None:
    """Nobody needs the seconds of hours."""
    assert [duration(seconds) for seconds in (-1, 0.4, 59.4, 80, 3600, 7500)] == [
        *("0s", "0s", "59s", "1m20s", "1h00m", "2h05m")
    ]
