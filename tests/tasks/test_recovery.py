"""Recovery's decisions, one by one: pure, from what is seen."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from prefect.client.schemas.objects import State, StateType

from knowledge.domain import ExecutionStatus
from tasks.recovery import Action, RecoveryPolicy, RunView, Situation, decide, is_cancelled_by_user

POLICY = RecoveryPolicy(grace_seconds=10.0, max_resumes=3)
RUN = RunView(StateType.RUNNING, "Running", seconds_in_state=300.0, starts=1, is_resumable=True)
DEAD = Situation(RUN, ExecutionStatus.RUNNING, resumes=0, free_seconds=10.0)

RUNNING, PENDING = ExecutionStatus.RUNNING, ExecutionStatus.PENDING
COMPLETED, FAILED, CANCELLED = ExecutionStatus.COMPLETED, ExecutionStatus.FAILED, ExecutionStatus.CANCELLED


def run(kind: StateType, **changes: object) -> RunView:
    """The run in another state."""
    return replace(RUN, type=kind, name=kind.value, **changes)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("kind", [StateType.RUNNING, StateType.CRASHED, StateType.FAILED, StateType.CANCELLED])
def test_a_dead_run_is_resumed_whatever_prefect_calls_it(kind: StateType) -> None:
    """A killed worker leaves it running, a killed process crashed, an outage failed, a stopped server cancelled."""
    assert decide(replace(DEAD, run=run(kind)), POLICY) is Action.RESUME
    assert decide(replace(DEAD, run=run(kind), status=PENDING), POLICY) is Action.RESUME


@pytest.mark.parametrize("kind", StateType)
def test_a_run_that_somebody_works_on_is_left_alone(kind: StateType) -> None:
    """The fence says so, and nothing that Prefect believes counts against it."""
    for status in (None, *ExecutionStatus):
        assert decide(Situation(run(kind), status, resumes=99, free_seconds=None), POLICY) is Action.WAIT


def test_nothing_is_resumed_within_the_grace() -> None:
    """The second report of a crash comes seconds after the first, and must not hit the resumed run."""
    crashed = replace(DEAD, run=run(StateType.CRASHED))
    assert decide(crashed, POLICY) is Action.RESUME
    assert decide(replace(crashed, free_seconds=9.9), POLICY) is Action.WAIT


def test_a_run_whose_worker_is_dead_too_is_resumed_sooner() -> None:
    """Nobody is left to report the death late; but a process that just starts has opened no execution yet."""
    alone = replace(DEAD, run=replace(RUN, is_worker_dead=True), free_seconds=3.0)
    assert decide(alone, POLICY) is Action.RESUME
    assert decide(replace(alone, free_seconds=2.9), POLICY) is Action.WAIT
    for status in (None, PENDING):
        assert decide(replace(alone, status=status, free_seconds=9.9), POLICY) is Action.WAIT


@pytest.mark.parametrize("status", [None, *ExecutionStatus])
@pytest.mark.parametrize("kind", [StateType.SCHEDULED, StateType.PAUSED])
def test_a_run_that_waits_for_its_turn_is_not_resumed_again(kind: StateType, status: ExecutionStatus | None) -> None:
    """A busy or absent worker takes it up some day; a run held for review waits for people, until it is closed."""
    is_closed = kind is StateType.PAUSED and status is not None and status.is_final
    expected = Action.REPORT if is_closed else Action.WAIT
    assert decide(replace(DEAD, run=run(kind), status=status), POLICY) is expected


@pytest.mark.parametrize("status", [None, *ExecutionStatus])
def test_a_run_that_a_worker_claimed_and_never_started_is_started_again(status: ExecutionStatus | None) -> None:
    """The worker died in between: that is no resume. One that may live is left time; it fails if it is hurried."""
    pending = replace(DEAD, run=run(StateType.PENDING), status=status)
    assert decide(pending, POLICY) is Action.START
    assert decide(replace(pending, run=replace(pending.run, seconds_in_state=60.0)), POLICY) is Action.WAIT
    orphaned = replace(pending, run=replace(pending.run, seconds_in_state=10.0, is_worker_dead=True))
    assert decide(orphaned, POLICY) is Action.START
    assert decide(replace(orphaned, free_seconds=9.0), POLICY) is Action.WAIT


def test_a_run_that_keeps_dying_is_given_up() -> None:
    """A poisonous document must not loop."""
    assert decide(replace(DEAD, resumes=2), POLICY) is Action.RESUME
    assert decide(replace(DEAD, resumes=3), POLICY) is Action.GIVE_UP


def test_a_run_that_dies_before_it_opens_an_execution_is_resumed_and_given_up_too() -> None:
    """Then Prefect's count of starts is the only one."""
    early = replace(DEAD, status=None)
    for starts, expected in ((1, Action.RESUME), (3, Action.RESUME), (4, Action.GIVE_UP)):
        assert decide(replace(early, run=run(StateType.CRASHED, starts=starts)), POLICY) is expected
    for over in (StateType.FAILED, StateType.CANCELLED, StateType.COMPLETED):
        assert decide(replace(early, run=run(over)), POLICY) is Action.WAIT


def test_a_run_without_a_deployment_cannot_be_resumed() -> None:
    """No worker can start it: its execution says so, instead of being running for ever."""
    assert decide(replace(DEAD, run=replace(RUN, is_resumable=False)), POLICY) is Action.GIVE_UP


@pytest.mark.parametrize("kind", [StateType.CANCELLING, StateType.CANCELLED])
def test_a_users_cancellation_is_carried_out_at_once(kind: StateType) -> None:
    """Nobody works on it any more: there is nothing to wait for, and nothing to resume."""
    cancelled = replace(DEAD, run=run(kind, cancelled_by_user=True), free_seconds=0.0)
    for status in (RUNNING, PENDING):
        assert decide(replace(cancelled, status=status), POLICY) is Action.CANCEL


@pytest.mark.parametrize("kind", [StateType.CANCELLING, StateType.CANCELLED])
def test_a_process_that_no_worker_has_told_is_put_out(kind: StateType) -> None:
    """Its worker was killed, so that the cancellation never reached it; a worker that is there is left to do it."""
    at_work = Situation(run(kind, cancelled_by_user=True), RUNNING, resumes=0, free_seconds=None)
    assert decide(at_work, POLICY) is Action.PUT_OUT
    assert decide(replace(at_work, run=replace(at_work.run, seconds_in_state=30.0)), POLICY) is Action.WAIT


@pytest.mark.parametrize("status", [COMPLETED, FAILED, CANCELLED])
def test_prefect_is_told_how_an_execution_ended(status: ExecutionStatus) -> None:
    """Its process may have died after closing the row; given a moment, most tell Prefect themselves."""
    for kind in (StateType.RUNNING, StateType.CRASHED, StateType.CANCELLING):
        ended = replace(DEAD, run=run(kind), status=status)
        assert decide(ended, POLICY) is Action.REPORT
        assert decide(replace(ended, free_seconds=1.0), POLICY) is Action.WAIT
    for kind in (StateType.COMPLETED, StateType.FAILED, StateType.CANCELLED):
        assert decide(replace(DEAD, run=run(kind), status=status), POLICY) is Action.WAIT


def history(*kinds: str) -> list[State]:
    """States of these types, a second apart."""
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    return [State(type=StateType(kind), timestamp=noon + timedelta(seconds=n)) for n, kind in enumerate(kinds)]


@pytest.mark.parametrize(
    ("kinds", "by_user"),
    [
        (("SCHEDULED", "PENDING", "RUNNING", "CANCELLING"), True),
        (("SCHEDULED", "PENDING", "RUNNING", "CANCELLING", "CANCELLED"), True),
        (("SCHEDULED", "PENDING", "RUNNING", "CANCELLING", "CANCELLED", "CANCELLED"), True),
        (("SCHEDULED", "PENDING", "RUNNING", "CANCELLING", "CRASHED"), True),
        (("SCHEDULED", "PENDING", "RUNNING", "CANCELLING", "CRASHED", "CANCELLED"), True),
        (("SCHEDULED", "CANCELLED"), True),
        (("SCHEDULED", "PENDING", "RUNNING", "CRASHED"), False),
        (("SCHEDULED", "PENDING", "RUNNING", "CRASHED", "SCHEDULED", "CANCELLED"), True),
        (("SCHEDULED", "PENDING", "RUNNING", "CANCELLED"), False),
        (("SCHEDULED", "PENDING", "RUNNING", "CANCELLING", "CANCELLED", "SCHEDULED", "RUNNING", "CANCELLED"), False),
        (("SCHEDULED", "PENDING", "RUNNING", "CANCELLING", "CANCELLED", "SCHEDULED", "RUNNING"), False),
        (("CANCELLED",), True),
        ((), False),
    ],
)
def test_a_users_cancellation_is_told_from_a_stopped_server(kinds: tuple[str, ...], by_user: bool) -> None:
    """Only the user's is to be obeyed; and not one of before the user started the run again."""
    assert is_cancelled_by_user(history(*kinds)) is by_user
