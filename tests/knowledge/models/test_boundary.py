"""The boundary's promises: bounded, paced, polite to an endpoint that throttles."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import pytest

from knowledge.errors import ModelThrottled, ModelUnavailable
from knowledge.models.boundary import ModelBoundary
from resilience.leases import PermitLostError
from resilience.limiter import RequestRate
from resilience.permits import InProcessPermits


def _boundary(permits: int = 2, requests_per_minute: int | None = None) -> ModelBoundary:
    return ModelBoundary("chat endpoint", InProcessPermits(permits), RequestRate(requests_per_minute))


async def _now() -> float:
    return asyncio.get_running_loop().time()


async def _throttled() -> float:
    raise ModelThrottled("chat endpoint", "slow down", retry_after_seconds=0.05)


async def test_one_throttled_call_makes_every_caller_pause() -> None:
    """Retry-After speaks to the client, not to the one call that happened to be refused."""
    boundary = _boundary()
    began = await _now()
    with pytest.raises(ModelThrottled):
        await boundary.call(_throttled)
    others = await asyncio.gather(*(boundary.call(_now) for _ in range(5)))
    assert min(others) >= began + 0.05


async def test_who_waits_for_a_pause_holds_no_permit() -> None:
    """A permit may be one of five for the whole system."""
    permits = InProcessPermits(1)
    boundary = ModelBoundary("chat endpoint", permits, RequestRate(None))
    with pytest.raises(ModelThrottled):
        await boundary.call(_throttled)
    waiting = asyncio.create_task(boundary.call(_now))
    await asyncio.sleep(0)
    assert (permits.held, permits.queued) == (0, 0)
    await waiting


async def test_calls_are_spaced_evenly_from_the_first_on() -> None:
    """A burst at the start would be past the limit of some minute."""
    boundary = _boundary(permits=10, requests_per_minute=6000)
    times = sorted(await asyncio.gather(*(boundary.call(_now) for _ in range(6))))
    assert times[-1] - times[0] >= 5 * 0.01 * 0.9


async def test_calls_in_flight_are_bounded() -> None:
    """The permit is held until the answer is there."""
    boundary, now, peak = _boundary(permits=2), 0, 0

    async def ask() -> None:
        nonlocal now, peak
        now += 1
        peak = max(peak, now)
        await asyncio.sleep(0)
        now -= 1

    await asyncio.gather(*(boundary.call(ask) for _ in range(20)))
    assert peak == 2


async def test_a_call_cut_off_with_its_permit_can_be_made_again() -> None:
    """It is the permit that was lost, nothing is wrong with the question."""

    class LosingPermits:
        @asynccontextmanager
        async def permit(self) -> AsyncGenerator[None]:
            yield
            raise PermitLostError("the lease of the permit could not be renewed")

    boundary = ModelBoundary("chat endpoint", LosingPermits(), RequestRate(None))
    with pytest.raises(ModelUnavailable) as caught:
        await boundary.call(_now)
    assert caught.value.retryable
