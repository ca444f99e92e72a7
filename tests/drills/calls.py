"""The endpoint's log, read while it grows."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.drills.faults import CHAT, EMBEDDINGS

_OK = 200


@dataclass(slots=True)
class Call:
    """A question put to the endpoint; times are seconds since the epoch.

    `delivered`: a sound answer was read. `fault` names what was done instead of answering; `until` is when a 429
    asked to be left alone, and `nonsense` what an unsound answer was like.
    """

    digest: str
    kind: str
    begun_at: float
    worker: str = ""
    fault: str | None = None
    answered_at: float | None = None
    status: int | None = None
    delivered: bool = False
    until: float | None = None
    nonsense: str | None = None

    @property
    def endpoint(self) -> str:
        """Which of the two was asked."""
        return EMBEDDINGS if self.kind == EMBEDDINGS else CHAT

    def was_open(self, at: float) -> bool:
        """Whether it was in flight then: asked, and its answer not read."""
        return self.begun_at <= at and (self.answered_at is None or self.answered_at > at or not self.delivered)


@dataclass(frozen=True, slots=True)
class Connecting:
    """An attempt to connect to an endpoint, seen where it was made."""

    endpoint: str
    at: float
    worker: str


class CallLog:
    """All calls so far, in the order of asking; `read` takes in what has come since."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._position = 0
        self._by_number: dict[int, Call] = {}
        self.calls: list[Call] = []
        self.connections: list[Connecting] = []

    def read(self) -> "CallLog":
        """This log, brought up to date."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._position)
                new = file.read()
            whole = new[: new.rfind(b"\n") + 1]
            self._position += len(whole)
            for line in whole.splitlines():
                self._take(json.loads(line))
        return self

    def _take(self, entry: dict[str, Any]) -> None:
        if entry["event"] == "connecting":
            self.connections.append(Connecting(entry["endpoint"], entry["at"], entry["worker"]))
        elif entry["event"] == "begun":
            worker, fault = entry.get("worker", ""), entry.get("fault")
            call = Call(entry["digest"], entry["kind"], entry["at"], worker, fault)
            self._by_number[entry["call"]] = call
            self.calls.append(call)
        elif entry["event"] == "answered":
            call = self._by_number[entry["call"]]
            call.answered_at, call.status = entry["at"], entry["status"]
            call.until, call.nonsense = entry.get("until"), entry.get("nonsense")
            call.delivered = entry["delivered"] and call.status == _OK and call.nonsense is None
        else:
            self._by_number[entry["call"]].delivered = False


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
