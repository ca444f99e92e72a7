"""What the drills' endpoint does instead of answering.

Whether a call is struck depends on the seed, the question and how often that has been asked, and on nothing else: so
drills repeat, in whatever order several processes ask.
"""

import hashlib
import math
import time
from dataclasses import dataclass
from email.utils import formatdate
from enum import StrEnum

from pydantic import TypeAdapter

from tests.scripted_endpoint import Reply

CHAT, EMBEDDINGS = "chat", "embeddings"
ENDPOINTS = (CHAT, EMBEDDINGS)


class FaultKind(StrEnum):
    """What goes wrong. `refused` closes the listening sockets, and with them every connection there is.

    `hang` holds requests, those under way too, until their clients give up; `429` asks to be left alone, for seconds
    or until a date; `nonsense` answers what is no answer (see `nonsense_answers`).
    """

    INTERNAL_ERROR = "500"
    UNAVAILABLE = "503"
    REFUSED = "refused"
    HANG = "hang"
    THROTTLED = "429"
    NONSENSE = "nonsense"


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """Strikes a share of the calls to the endpoints; no question more than `most_in_a_row` times, unless that is 0."""

    kind: FaultKind
    endpoints: tuple[str, ...] = ENDPOINTS
    share: float = 1.0
    seed: int = 1
    retry_after_seconds: float = 1.0
    most_in_a_row: int = 0

    def strikes(self, endpoint: str, digest: str, time_asked: int) -> bool:
        """Whether the question is struck when it is asked for the n-th time, from 1."""
        if endpoint not in self.endpoints:
            return False
        in_a_row = 0
        for n in range(1, time_asked + 1):
            is_spared = self.most_in_a_row and in_a_row >= self.most_in_a_row
            in_a_row = 0 if is_spared or self.chance(digest, n, "strikes") >= self.share else in_a_row + 1
        return in_a_row > 0

    def chance(self, digest: str, time_asked: int, of: str) -> float:
        """A number in [0, 1) that is always the same for the same question, time and purpose."""
        drawn = hashlib.sha256(f"{self.seed}/{digest}/{time_asked}/{of}".encode()).digest()
        return int.from_bytes(drawn[:6]) / 2**48


PLAN_OR_NONE = TypeAdapter[FaultPlan | None](FaultPlan | None)
"""How a plan is told to the endpoint's process: JSON on one line, null for none."""


@dataclass(frozen=True, slots=True)
class Throttling:
    """A 429 with its Retry-After, and when that ends (seconds since the epoch)."""

    reply: Reply
    until: float

    @classmethod
    def of(cls, plan: FaultPlan, digest: str, time_asked: int) -> "Throttling":
        """Half of them in seconds, half as a date, which has no fractions and is rounded up."""
        now = time.time()
        if plan.chance(digest, time_asked, "form") < 0.5:
            until, value = now + plan.retry_after_seconds, f"{plan.retry_after_seconds:g}"
        else:
            until = math.ceil(now + plan.retry_after_seconds)
            value = formatdate(until, usegmt=True)
        return cls(error_reply(429, "rate limit reached", {"Retry-After": value}), until)


def error_reply(status: int, message: str, headers: dict[str, str] | None = None) -> Reply:
    """An error as OpenAI's API words it."""
    return Reply({"error": {"message": message, "type": "drill", "code": None}}, status, headers or {})
