"""The figures that the drills with several workers are judged by."""

from pathlib import Path

from tests.drills.calls import Call, CallLog, Connecting
from tests.drills.faults import CHAT, EMBEDDINGS, FaultKind
from tests.drills.measures import (
    Outage,
    peak_in_flight,
    seconds_to_next_call,
    seconds_to_workers_next_call,
    violations,
)

_OUTAGE = Outage(FaultKind.INTERNAL_ERROR, 10.0, 20.0)


def _call(
    begun_at: float, answered_at: float | None, *, kind: str = "mentions", worker: str = "a", sound: bool = True
) -> Call:
    digest = f"{kind} {begun_at}"
    return Call(digest, kind, begun_at, worker, None, answered_at, 200 if sound else 500, delivered=sound)


def _refusal(begun_at: float, until: float, kind: str = "mentions") -> Call:
    return Call("refused", kind, begun_at, "a", "429", begun_at, 429, until=until)


def test_calls_into_an_outage_are_those_begun_while_it_lasts(tmp_path: Path) -> None:
    """By endpoint; and where none comes in, those that were tried."""
    log = CallLog(tmp_path / "none")
    log.calls = [_call(at, at + 1) for at in (9.9, 10.0, 19.9, 20.0)] + [_call(15.0, 16.0, kind=EMBEDDINGS)]
    log.connections = [Connecting(CHAT, 9.0, "a"), Connecting(CHAT, 11.0, "a"), Connecting(CHAT, 12.0, "b")]
    assert _OUTAGE.calls_into(log) == {CHAT: 2, EMBEDDINGS: 1}
    assert Outage(FaultKind.REFUSED, 10.0, 20.0).calls_into(log) == {CHAT: 2, EMBEDDINGS: 0}


def test_the_next_success_is_begun_after_the_outage_has_and_answered_after_its_end() -> None:
    """One begun before it was under way already, and one answered within it saw nothing of it."""
    calls = [
        _call(9.0, 21.0),
        _call(11.0, 12.0),
        _call(20.5, 21.5, sound=False),
        _call(23.0, 24.0),
        _call(22.0, 25.0, kind=EMBEDDINGS),
    ]
    assert _OUTAGE.seconds_to_success(calls) == {CHAT: 3.0, EMBEDDINGS: 2.0}


def test_the_first_calls_after_a_success_are_found_by_worker_and_by_document() -> None:
    """A document that is never asked about again says so."""
    calls = [_call(30.0, 31.0), _call(32.5, 33.0), _call(33.0, 34.0, worker="b"), _call(35.0, 36.0, worker="b")]
    assert seconds_to_workers_next_call(calls, 32.0) == {"a": 0.5, "b": 1.0}
    documents = {"first": frozenset({"mentions 33.0", "mentions 35.0"}), "second": frozenset({"mentions 30.0"})}
    assert seconds_to_next_call(calls, 32.0, documents) == {"first": 1.0, "second": None}


def test_the_peak_counts_overlapping_calls_of_one_endpoint() -> None:
    """A call that begins the moment another ends takes its place; one without an end goes on."""
    calls = [_call(1.0, 2.0), _call(2.0, 3.0), _call(1.5, None), _call(2.5, 2.6, kind=EMBEDDINGS)]
    assert peak_in_flight(calls) == {CHAT: 2, EMBEDDINGS: 1}


def test_a_call_within_a_pause_breaks_it_whoever_was_told() -> None:
    """Beyond 50 ms at either end; and the endpoints pause apart."""
    calls = [
        _refusal(10.0, 12.0),
        *(_call(at, at + 1, worker="b") for at in (9.9, 10.04, 11.0, 11.96, 12.0)),
        _call(11.0, 12.0, kind=EMBEDDINGS),
    ]
    (early,) = violations(calls)
    assert (early.worker, early.told, early.seconds_after_asking, early.seconds_too_early) == ("b", "a", 1.0, 1.0)
