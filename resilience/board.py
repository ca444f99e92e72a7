"""What processes that share an endpoint tell each other about it. Adapters live where there is a shared memory."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class EndpointState(StrEnum):
    """Whether an endpoint may be asked."""

    CLOSED = "closed"
    """It may: the circuit is closed."""
    THROTTLED = "throttled"
    """It asked all its callers to wait."""
    OPEN = "open"
    """It is down: the circuit is open."""


@dataclass(frozen=True, slots=True)
class Hold:
    """An endpoint that may not be asked: one probe may go in `probe_in_seconds`, `held_seconds` after it began."""

    state: EndpointState
    probe_in_seconds: float
    held_seconds: float
    detail: str


@dataclass(frozen=True, slots=True)
class Standing:
    """An endpoint as all processes have it, in the order of `version`; no `hold` when it may be asked."""

    version: int
    hold: Hold | None


@dataclass(frozen=True, slots=True)
class Failures:
    """Another process has seen so many consecutive failures, without the circuit being open."""

    process: str
    count: int


@dataclass(frozen=True, slots=True)
class Sharers:
    """How many processes use the endpoint now, this one included."""

    count: int


News = Standing | Failures | Sharers


class EndpointBoard(Protocol):
    """The board of one endpoint. What is posted is delivered in order, in the background, and reaches everybody."""

    def subscribe(self, hear: Callable[[News], None]) -> None:
        """Calls `hear` in the event loop with all news from now on, the present standing first."""
        ...

    def post_hold(self, hold: Hold) -> None:
        """The endpoint may not be asked. Of several holds the one that lasts longest counts."""
        ...

    def post_release(self) -> None:
        """The endpoint may be asked again."""
        ...

    def post_failures(self, count: int) -> None:
        """This process has seen so many consecutive failures; 0 takes that back."""
        ...

    async def claim_probe(self) -> bool:
        """Whether this process, and no other, may ask once: the endpoint is held, and its probe is due."""
        ...

    def return_probe(self) -> None:
        """The probe that this process claimed came to nothing, and another may be made at once."""
        ...
