"""Recovery, decided: what is to be done about a run, from what its row, its fence and Prefect say.

Level-triggered: only the present state counts, and it is looked at again and again. Nothing is done twice, nothing
depends on an event that somebody saw, and two who decide at once decide alike.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum, auto

from prefect.client.schemas.objects import State, StateType

from knowledge.domain import ExecutionStatus

# A worker that has claimed a run must be given the time to start its process on a busy machine: a run that is
# scheduled again while its worker still holds it makes that worker fail. Longer, and the worker has died.
_START_SECONDS = 150.0
# A worker reports a death at once and once more within seconds, unless it is dead itself.
_WORKER_DEAD_SECONDS = 3.0
# A worker that is there ends a cancelled process within seconds, by SIGKILL after 30 of them.
_CANCELLING_SECONDS = 40.0
_OVER = frozenset({StateType.COMPLETED, StateType.FAILED, StateType.CANCELLED})


class Action(StrEnum):
    """What recovery does about a run."""

    WAIT = auto()
    """Nothing is wrong, or not for long enough."""
    RESUME = auto()
    """A process of it has died: have another one started, and count it."""
    START = auto()
    """No process of it came to be: have one started."""
    GIVE_UP = auto()
    """Its processes have died too often."""
    CANCEL = auto()
    """A user wants it cancelled, and nobody works on it any more."""
    PUT_OUT = auto()
    """A user wants it cancelled, and no worker has told its process."""
    REPORT = auto()
    """Its execution has ended: tell Prefect how."""


@dataclass(frozen=True, slots=True)
class RunView:
    """A flow run as Prefect has it; `starts` are the times that it was set to Running.

    `is_worker_dead` is only said of the worker that brought it into the state in which it is.
    """

    type: StateType
    name: str
    seconds_in_state: float
    starts: int
    is_resumable: bool
    is_worker_dead: bool = False
    cancelled_by_user: bool = False


@dataclass(frozen=True, slots=True)
class Situation:
    """All that a decision needs.

    `status` and `resumes` are the execution's; None for a run that has not opened one. `free_seconds` is for how
    long the fence has been seen free without anything happening; None while a process holds it.
    """

    run: RunView
    status: ExecutionStatus | None
    resumes: int
    free_seconds: float | None


@dataclass(frozen=True, slots=True)
class RecoveryPolicy:
    """The grace and the cap; see `RecoverySettings`."""

    grace_seconds: float
    max_resumes: int


def decide(situation: Situation, policy: RecoveryPolicy) -> Action:
    """What to do about a run now."""
    run, free = situation.run, situation.free_seconds
    if free is None and run.cancelled_by_user:
        return Action.PUT_OUT if run.seconds_in_state > _CANCELLING_SECONDS else Action.WAIT
    is_closed = situation.status is not None and situation.status.is_final
    if free is None or run.type is StateType.SCHEDULED or (run.type is StateType.PAUSED and not is_closed):
        # Somebody works on it, or a worker or a user will take it up.
        return Action.WAIT
    if run.type is StateType.PENDING:
        is_stuck = run.is_worker_dead or run.seconds_in_state > _START_SECONDS
        return Action.START if is_stuck and free >= policy.grace_seconds else Action.WAIT
    if situation.status is not None and situation.status.is_final:
        return _report(run, free, policy)
    if run.cancelled_by_user:
        return Action.CANCEL
    if situation.status is None and run.type in _OVER:
        return Action.WAIT
    if free < _grace_seconds(situation, policy):
        return Action.WAIT
    died = situation.resumes if situation.status is not None else run.starts - 1
    return Action.RESUME if run.is_resumable and died < policy.max_resumes else Action.GIVE_UP


def _grace_seconds(situation: Situation, policy: RecoveryPolicy) -> float:
    """Shorter where nobody is left to report the death late, and the process was past its start."""
    was_at_work = situation.run.type is StateType.RUNNING and situation.status is ExecutionStatus.RUNNING
    is_alone = was_at_work and situation.run.is_worker_dead
    return min(_WORKER_DEAD_SECONDS, policy.grace_seconds) if is_alone else policy.grace_seconds


def _report(run: RunView, free: float, policy: RecoveryPolicy) -> Action:
    """A process that has closed its execution needs a moment to tell Prefect itself."""
    return Action.WAIT if run.type in _OVER or free < policy.grace_seconds else Action.REPORT


def is_cancelled_by_user(history: Sequence[State]) -> bool:
    """Whether the states of a run, oldest first, say that a user has cancelled it since it was last scheduled.

    A server or worker that is stopped calls what it ran cancelled too, but without `Cancelling` before. A run that
    had not begun is cancelled at once.
    """
    before: StateType | None = None
    for state in reversed(history):
        if state.type is StateType.CANCELLING:
            return True
        if state.type is not StateType.CANCELLED and before is None:
            before = state.type
        if state.type is StateType.SCHEDULED:
            break
    is_cancelled = bool(history) and history[-1].type is StateType.CANCELLED
    return is_cancelled and before in {None, StateType.SCHEDULED, StateType.PENDING, StateType.PAUSED}
