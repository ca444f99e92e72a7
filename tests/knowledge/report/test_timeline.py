"""A run's history, from its attempts: what a reader of logs would have found out."""

from datetime import timedelta

from knowledge.domain import ActivityStatus, ExecutionStatus, Stage
from knowledge.exports.report import Attempt
from knowledge.exports.report.timeline import EventKind, TimelineEvent, timeline_of
from knowledge.ids import ExecutionId, SignalId
from knowledge.signals import Signal, SignalName
from tests.reports import NOON, attempt, run_of

_LATER = NOON + timedelta(hours=1)


def _events(*attempts: Attempt, signals: tuple[Signal, ...] = (), resumes: int = 0) -> list[TimelineEvent]:
    run = run_of(None, attempts=attempts, signals=signals, resumes=resumes)
    return [event for event in timeline_of(run, _LATER).events if event.kind is not EventKind.END]


def _signal(name: SignalName, sent: float, acted: float | None) -> Signal:
    acted_at = None if acted is None else NOON + timedelta(seconds=acted)
    sent_at = NOON + timedelta(seconds=sent)
    execution_id = ExecutionId("exe_" + "1" * 32)
    return Signal(SignalId.new(), execution_id, 1, name, {"reason": "lunch"}, sent_at, "ada", acted_at, "paused")


def test_a_quiet_run_has_stages_and_an_end_and_no_events() -> None:
    """Nothing is made up."""
    attempts = (attempt(Stage.CHUNK), attempt(begun=1), attempt(item=1, begun=1), attempt(Stage.PUBLISH, begun=2))
    timeline = timeline_of(run_of(None, attempts=attempts), _LATER, cells=9)
    assert [(stage.stage, stage.items) for stage in timeline.stages] == [
        (Stage.CHUNK, 1),
        (Stage.MENTIONS, 2),
        (Stage.PUBLISH, 1),
    ]
    assert [event.text for event in timeline.events] == ["completed"]
    assert [cell is not None for cell in timeline.stages[1].cells] == [False, True, True, *[False] * 6]


def test_failures_of_one_kind_are_one_event_that_says_what_came_of_them() -> None:
    """Twenty lines of the same 503 are one line; which items were given up is what matters."""
    failed = [
        attempt(item=item, begun=item, status=ActivityStatus.FAILED, error="503: busy", given_up=item == 2)
        for item in range(3)
    ]
    again = [attempt(item=item, begun=4, number=2) for item in range(2)]
    (event,) = _events(*failed, *again)
    assert event.kind is EventKind.FAILURE
    assert event.text == "mentions: 3 attempts failed (2 tried again, 1 given up): 503: busy"


def test_failures_far_apart_are_told_apart() -> None:
    """Two outages are not one long one."""
    times = (0, 2, 100)
    failed = [attempt(item=n, begun=t, status=ActivityStatus.FAILED, error="503") for n, t in enumerate(times)]
    events = _events(*failed)
    assert [event.text.split(" (")[0] for event in events] == [
        "mentions: 2 attempts failed",
        "mentions: an attempt failed",
    ]


def test_a_dead_process_and_its_successor_are_a_resume() -> None:
    """What it left running ends when another takes over; until then it had been alive at its last sign."""
    broken = [attempt(item=n, begun=1, seconds=20, status=ActivityStatus.INTERRUPTED) for n in (1, 2)]
    events = _events(attempt(), *broken, attempt(item=1, begun=22, number=2), resumes=1)
    (resume,) = events
    assert resume.kind is EventKind.RESUME
    assert (resume.at, resume.until) == (NOON + timedelta(seconds=1), NOON + timedelta(seconds=21))
    assert resume.text == "its process died, 2 attempts were broken off; another went on"


def test_resumes_that_broke_nothing_off_are_told_too() -> None:
    """The execution counts them all."""
    (event,) = _events(attempt(), resumes=2)
    assert "2 more times" in event.text


def test_a_run_set_aside_says_why_and_until_when() -> None:
    """An outage that outlasts patience."""
    held = attempt(begun=1, status=ActivityStatus.INTERRUPTED, error="chat does not answer")
    events = _events(attempt(), held, attempt(item=1, begun=60))
    (event,) = events
    assert event.kind is EventKind.HELD
    assert event.text == "set aside: chat does not answer"
    assert event.until == NOON + timedelta(seconds=60)


def test_a_long_silence_with_failures_is_an_outage_and_without_them_a_wait() -> None:
    """Answers stop for much longer than they usually take."""
    quick = [attempt(item=n, begun=n) for n in range(3)]
    late = attempt(item=9, begun=3, seconds=30)
    assert [event.kind for event in _events(*quick, late)] == [EventKind.WAIT]
    failed = attempt(item=8, begun=4, status=ActivityStatus.FAILED, error="503")
    kinds = {event.kind for event in _events(*quick, failed, late)}
    assert kinds == {EventKind.OUTAGE, EventKind.FAILURE}


def test_a_wait_says_what_was_under_way() -> None:
    """A slow model and a large graph to publish are not the same."""
    quick = [attempt(item=n, begun=n) for n in range(3)]
    (wait,) = _events(*quick, attempt(item=9, begun=3, seconds=30))
    assert wait.text == "30 s without an answer: waiting for a model or a limit"
    (wait,) = _events(*quick, attempt(Stage.PUBLISH, begun=3, seconds=30))
    assert wait.text == "30 s without an answer: busy with publish"


def test_a_pause_is_not_taken_for_a_slow_model() -> None:
    """Somebody wanted it."""
    pause = _signal(SignalName.PAUSE, 1, 1.5)
    events = _events(attempt(), attempt(item=1, begun=60), signals=(pause,))
    assert [event.kind for event in events] == [EventKind.HELD, EventKind.SIGNAL]
    assert "paused by ada" in events[0].text
    assert events[1].text == "signal 1: pause (lunch) by ada: paused"


def test_a_failure_shows_in_the_lane_beside_successes() -> None:
    """A cell says what is most worth knowing of its time."""
    attempts = (attempt(item=0), attempt(item=1, status=ActivityStatus.FAILED, error="x"), attempt(item=2, begun=8))
    (stage,) = timeline_of(run_of(None, attempts=attempts), _LATER, cells=3).stages
    assert stage.cells[0] is ActivityStatus.FAILED
    assert stage.cells[2] is ActivityStatus.COMPLETED


def test_what_still_goes_on_ends_now() -> None:
    """A report on a running execution shows it as running."""
    run = run_of(None, attempts=(attempt(seconds=None, status=ActivityStatus.RUNNING),), status=ExecutionStatus.RUNNING)
    (stage,) = timeline_of(run, _LATER, cells=2).stages
    assert stage.cells == (ActivityStatus.RUNNING, ActivityStatus.RUNNING)


def test_a_run_refused_at_the_door_has_only_its_end() -> None:
    """There are no attempts, and there is a reason."""
    run = run_of(None, status=ExecutionStatus.FAILED, error="is empty")
    assert [event.text for event in timeline_of(run, _LATER).events] == ["failed: is empty"]
