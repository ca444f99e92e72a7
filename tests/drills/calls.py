"""The endpoint's log, read while it grows."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class Call:
    """A question put to the endpoint; times are seconds since the epoch. `delivered`: its answer was read."""

    digest: str
    kind: str
    begun_at: float
    answered_at: float | None = None
    delivered: bool = False

    def was_open(self, at: float) -> bool:
        """Whether it was in flight then: asked, and its answer not read."""
        return self.begun_at <= at and (self.answered_at is None or self.answered_at > at or not self.delivered)


class CallLog:
    """All calls so far, in the order of asking; `read` takes in what has come since."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = 0
        self._by_number: dict[int, Call] = {}
        self.calls: list[Call] = []

    def read(self) -> "CallLog":
        """This log, brought up to date."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._position)
                new = file.read()
            whole = new[: new.rfind(b"\n") + 1]
            self._position += len(whole)
            for line in whole.splitlines():
                self._take(json.loads(line))
        return self

    def _take(self, entry: dict[str, object]) -> None:
        number, at = int(str(entry["call"])), float(str(entry["at"]))
        if entry["event"] == "begun":
            call = Call(str(entry["digest"]), str(entry["kind"]), at)
            self._by_number[number] = call
            self.calls.append(call)
        elif entry["event"] == "answered":
            call = self._by_number[number]
            call.answered_at, call.delivered = at, bool(entry["delivered"]) and entry["status"] == 200
        else:
            self._by_number[number].delivered = False


def paid_again(calls: Iterable[Call]) -> tuple[Call, ...]:
    """The answers that were read and then paid for again, once for each time: read again, or just asked for again."""
    paid: dict[str, Call] = {}
    again: list[Call] = []
    for call in sorted(calls, key=lambda call: call.begun_at):
        if call.digest in paid:
            again.append(paid[call.digest])
        elif call.delivered:
            paid[call.digest] = call
    return tuple(again)
