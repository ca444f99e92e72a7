"""Permits bound what is in flight, and say who waits."""

import asyncio

import pytest

from resilience.permits import InProcessPermits


async def test_twenty_callers_of_five_permits_are_five_held_and_fifteen_queued() -> None:
    """The mission's own figures: an operator must be able to see them."""
    permits = InProcessPermits(5)
    finish = asyncio.Event()
    peak = 0

    async def caller() -> None:
        nonlocal peak
        async with permits.permit():
            peak = max(peak, permits.held)
            await finish.wait()

    callers = [asyncio.create_task(caller()) for _ in range(20)]
    while permits.held < 5:
        await asyncio.sleep(0)
    assert (permits.held, permits.queued) == (5, 15)
    finish.set()
    await asyncio.gather(*callers)
    assert (permits.held, permits.queued, peak) == (0, 0, 5)


async def test_a_cancelled_waiter_leaves_the_queue() -> None:
    """Else the queue would look longer for ever, and a permit could be lost."""
    permits = InProcessPermits(1)
    async with permits.permit():
        waiter = asyncio.create_task(permits.permit().__aenter__())
        while not permits.queued:
            await asyncio.sleep(0)
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        assert permits.queued == 0
    async with permits.permit():
        assert permits.held == 1


def test_no_permits_at_all_is_refused() -> None:
    """Zero permits would wait for ever."""
    with pytest.raises(ValueError, match="at least one"):
        InProcessPermits(0)
