"""Signals to executions, and what a history of them means."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Self

from knowledge.errors import SignalRefused
from knowledge.ids import ExecutionId, SignalId

_REASON_FIELDS = ("reason", "comment")


class SignalName(StrEnum):
    """What an execution can be told."""

    CANCEL = "cancel"
    PAUSE = "pause"
    RESUME = "resume"
    APPROVE = "approve"
    REJECT = "reject"

    @classmethod
    def of(cls, name: str) -> Self:
        """The signal of this name.

        Raises:
            SignalRefused: there is none; the message lists those there are.
        """
        try:
            return cls(name)
        except ValueError:
            raise SignalRefused(f"{name[:80]!r} is not a signal: it must be one of {', '.join(cls)}") from None

    @property
    def is_decision(self) -> bool:
        """Whether it decides a review."""
        return self in {SignalName.APPROVE, SignalName.REJECT}


@dataclass(frozen=True, slots=True)
class Signal:
    """A signal to an execution: the `number`-th sent to it, from 1; `outcome` says what came of it, once acted on."""

    id: SignalId
    execution_id: ExecutionId
    number: int
    name: SignalName
    payload: Mapping[str, object]
    sent_at: datetime
    sent_by: str
    acted_at: datetime | None
    outcome: str | None

    @property
    def reason(self) -> str:
        """What the sender gave as reason or comment; empty if nothing."""
        given = (self.payload.get(field) for field in _REASON_FIELDS)
        return next((str(text).strip() for text in given if text), "")


@dataclass(frozen=True, slots=True)
class Standing:
    """What an execution's signals add up to, acted on or not: so a crash in between changes nothing."""

    cancel: Signal | None = None
    decision: Signal | None = None
    is_paused: bool = False
    is_resumed: bool = False

    @property
    def needs_a_process(self) -> bool:
        """Whether a run that is held for review has something to do."""
        return self.cancel is not None or self.decision is not None


def standing_of(history: Sequence[Signal]) -> Standing:
    """What the signals, in the order of their numbers, add up to.

    A cancel stands for ever; the first decision counts; of pause and resume the last one does. `is_resumed` says that
    nobody has acted on a resume yet.
    """
    turns = [signal.name for signal in history if signal.name in {SignalName.PAUSE, SignalName.RESUME}]
    return Standing(
        cancel=next((signal for signal in history if signal.name is SignalName.CANCEL), None),
        decision=next((signal for signal in history if signal.name.is_decision), None),
        is_paused=turns[-1:] == [SignalName.PAUSE],
        is_resumed=any(signal.name is SignalName.RESUME and signal.acted_at is None for signal in history),
    )


def cancellation(cancel: Signal) -> str:
    """Why an execution that was told to cancel ended, for people."""
    return f"cancelled by {cancel.sent_by}" + (f": {cancel.reason}" if cancel.reason else "")


def rejection(reject: Signal) -> str:
    """Why an execution that a reviewer rejected ended, for people."""
    return "rejected by review" + (f": {reject.reason}" if reject.reason else "")
