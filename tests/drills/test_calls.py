"""What counts as paid again: the figure that all drills stand on."""

import json
from pathlib import Path

from tests.drills.calls import CallLog, paid_again

Entry = tuple[str, int, float, dict[str, object]]


def _log(path: Path, *entries: Entry) -> CallLog:
    lines = (json.dumps({"event": event, "call": call, "at": at, **more}) + "\n" for event, call, at, more in entries)
    path.write_text("".join(lines))
    return CallLog(path).read()


def _begun(call: int, at: float, digest: str) -> Entry:
    return "begun", call, at, {"digest": digest, "kind": "passage"}


def _answered(call: int, at: float, *, delivered: bool = True) -> Entry:
    return "answered", call, at, {"status": 200, "delivered": delivered}


def _lost(call: int, at: float) -> Entry:
    return "lost", call, at, {}


def test_an_answer_that_was_read_and_is_asked_for_again_is_paid_again(tmp_path: Path) -> None:
    """Whether or not the second answer arrives: the endpoint has done its work."""
    log = _log(tmp_path / "log", _begun(1, 1.0, "a"), _answered(1, 1.5), _begun(2, 2.0, "a"))
    assert [call.answered_at for call in paid_again(log.calls)] == [1.5]


def test_an_answer_that_nobody_read_was_in_flight(tmp_path: Path) -> None:
    """Neither one given to a closed connection, nor one left unread in a dead process's socket."""
    log = _log(
        tmp_path / "log",
        *(_begun(1, 1.0, "a"), _answered(1, 1.5, delivered=False)),
        *(_begun(2, 1.0, "b"), _answered(2, 1.5), _lost(2, 1.6)),
        *(_begun(3, 2.0, "a"), _answered(3, 2.5), _begun(4, 2.0, "b"), _answered(4, 2.5)),
    )
    assert paid_again(log.calls) == ()
    assert [call.was_open(1.55) for call in log.calls] == [True, True, False, False]


def test_a_line_that_is_being_written_is_read_later(tmp_path: Path) -> None:
    """The log is read while the endpoint writes it."""
    log = _log(tmp_path / "log", _begun(1, 1.0, "a"))
    whole = json.dumps({"event": "answered", "call": 1, "at": 1.5, "status": 200, "delivered": True}) + "\n"
    with (tmp_path / "log").open("a") as file:
        file.write(whole[:10])
        file.flush()
        assert log.read().calls[0].answered_at is None
        file.write(whole[10:])
    assert log.read().calls[0].answered_at == 1.5
