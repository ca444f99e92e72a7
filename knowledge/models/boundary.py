"""The one way from this system to a model endpoint.

The order of the layers, outside in:

1. retries, which are the caller's (a durable task's);
2. the gate: while the endpoint is down or throttling, callers wait here, and one probe goes through
   (`resilience.gate`); they hold no permit, and use up no attempt;
3. the spend ceiling of the execution (`resilience.spending`);
4. the permit: bounded calls in flight (`resilience.permits`, over all processes `resilience.leases`);
5. the rate of requests and tokens (`resilience.limiter`);
6. the circuit breaker, which is told how the call came out (`resilience.breaker`);
7. the deadline;
8. the client, which makes no attempts of its own.

Chat and embedding endpoints have a boundary each, so that they wait and fail apart.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from knowledge.domain import Usage
from knowledge.errors import (
    ModelError,
    ModelHeldBack,
    ModelThrottled,
    ModelUnavailable,
    SpendCeilingReached,
)
from resilience.board import EndpointState
from resilience.gate import EndpointGate, PatienceExhausted, Turn
from resilience.leases import PermitLostError
from resilience.limiter import RequestRate
from resilience.permits import Permits
from resilience.spending import CeilingReached, SpendMeter

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class EndpointGuard:
    """What guards an endpoint: the layers of one process, or those that it shares with others."""

    permits: Permits
    rate: RequestRate
    gate: EndpointGate
    timeout_seconds: float = 120.0


class ModelBoundary:
    """Guards one endpoint; build it inside the event loop that uses it. `spending` is the execution's."""

    def __init__(self, endpoint: str, guard: EndpointGuard, spending: SpendMeter | None = None) -> None:
        self._endpoint = endpoint
        self._guard = guard
        self._spending = spending or SpendMeter()

    async def call(self, ask: Callable[[], Awaitable[Answer]], tokens: int = 0) -> Answer:
        """What `ask` answers, once it may go ahead; about so many `tokens` are expected to be read and written.

        A call that the endpoint throttles, or that fails while the circuit is open, waits and is made again: only
        failures with the circuit closed are the caller's to count.

        Raises: what `ask` raises, and
            ModelUnavailable: the endpoint failed, gave no answer before the deadline, or the permit was lost.
            ModelHeldBack: the endpoint is down or throttling for longer than callers wait.
            SpendCeilingReached: the execution may not spend any more.
        """
        while True:
            if self._spending.is_exhausted:
                raise SpendCeilingReached(f"the spend ceiling is reached: {self._spending.spent}")
            try:
                async with self._guard.gate.turn() as turn, self._guard.permits.permit():
                    if turn.is_valid:
                        await self._guard.rate.wait(tokens)
                    if turn.is_valid:
                        return await self._ask(turn, ask, tokens)
            except ModelThrottled:
                continue
            except ModelUnavailable as error:
                if self._guard.gate.hold is None:
                    error.consecutive_failures = self._guard.gate.failures
                    raise
            except PatienceExhausted as error:
                raise self._held_back(error) from error
            except PermitLostError as error:
                raise ModelUnavailable(self._endpoint, f"was not waited for: {error}") from error

    async def _ask(self, turn: Turn, ask: Callable[[], Awaitable[Answer]], tokens: int) -> Answer:
        self._begin_spending()
        turn.begin()
        try:
            async with asyncio.timeout(self._guard.timeout_seconds):
                answer = await ask()
        except BaseException as error:
            self._spending.take_back()
            self._tell(turn, error)
            if isinstance(error, TimeoutError):
                raise ModelUnavailable(
                    self._endpoint, f"gave no answer within {self._guard.timeout_seconds:g} s"
                ) from error
            raise
        turn.answered()
        usage: Usage = getattr(answer, "usage", Usage())
        used = usage.input_tokens + usage.output_tokens
        self._spending.add_tokens(used)
        self._guard.rate.correct(tokens, used)
        return answer

    def _begin_spending(self) -> None:
        try:
            self._spending.begin_call()
        except CeilingReached as error:
            raise SpendCeilingReached(f"the spend ceiling is reached: {error}") from error

    def _tell(self, turn: Turn, error: BaseException) -> None:
        """What an error says about the endpoint; a cancelled call, or one whose permit was lost, says nothing."""
        match error:
            case ModelThrottled():
                turn.throttled(error.message, error.retry_after_seconds)
            case ModelUnavailable():
                turn.failed(error.message)
            case TimeoutError():
                turn.failed(f"{self._endpoint}: gave no answer in time")
            case ModelError():
                turn.refused()
            case _:
                pass

    def _held_back(self, error: PatienceExhausted) -> ModelHeldBack:
        hold = error.hold
        # What it asks for may be too long to begin waiting for it.
        held = f" for {hold.held_seconds:.0f} s" if hold.held_seconds >= 1 else ""
        return ModelHeldBack(
            self._endpoint,
            f"has been {_SAID[hold.state]}{held} ({hold.detail}); it may be asked again in "
            f"{hold.probe_in_seconds:.0f} s",
            probe_in_seconds=hold.probe_in_seconds,
        )


_SAID = {EndpointState.OPEN: "down", EndpointState.THROTTLED: "throttling", EndpointState.CLOSED: "held"}
