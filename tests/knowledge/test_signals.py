"""What a history of signals means."""

from datetime import UTC, datetime

from knowledge.ids import ExecutionId, SignalId
from knowledge.signals import Signal, SignalName, Standing, cancellation, rejection, standing_of

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
EXECUTION = ExecutionId.new()


def sent(*names: SignalName, **payload: object) -> list[Signal]:
    """A history of signals, all with this payload, none acted on."""
    return [
        Signal(SignalId.new(), EXECUTION, n, name, payload, NOON, "ada", None, None) for n, name in enumerate(names, 1)
    ]


def test_the_last_of_pause_and_resume_counts() -> None:
    """However often a run is paused, one resume lets it go on."""
    pause, resume = SignalName.PAUSE, SignalName.RESUME
    assert standing_of([]) == Standing()
    assert standing_of(sent(pause)).is_paused
    assert not standing_of(sent(pause, pause, resume)).is_paused
    assert standing_of(sent(pause, resume, pause, SignalName.APPROVE)).is_paused


def test_the_first_decision_counts_and_a_cancel_stands() -> None:
    """Whatever is said afterwards, a run that was told to cancel is not taken up again."""
    history = sent(SignalName.REJECT, SignalName.APPROVE, SignalName.CANCEL, SignalName.RESUME)
    standing = standing_of(history)
    assert standing.decision is history[0]
    assert standing.cancel is history[2]


def test_reasons_are_told_with_the_end() -> None:
    """The execution row says who ended it, and why if they said so."""
    assert cancellation(sent(SignalName.CANCEL, reason=" wrong file ")[0]) == "cancelled by ada: wrong file"
    assert cancellation(sent(SignalName.CANCEL, ticket=7)[0]) == "cancelled by ada"
    assert rejection(sent(SignalName.REJECT, comment="too thin")[0]) == "rejected by review: too thin"
    assert rejection(sent(SignalName.REJECT)[0]) == "rejected by review"
