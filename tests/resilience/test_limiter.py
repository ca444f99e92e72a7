"""No minute has more than the limit, whatever comes when."""

import asyncio
from itertools import pairwise

import pytest

from resilience.limiter import RequestRate
from tests.virtual_time import run_virtually

MINUTE = 60.0


async def _starts(rate: RequestRate, calls: int, tokens: int = 0) -> list[float]:
    starts: list[float] = []

    async def call() -> None:
        await rate.wait(tokens)
        starts.append(asyncio.get_running_loop().time())

    await asyncio.gather(*(call() for _ in range(calls)))
    return starts


def _most_in_a_minute(starts: list[float]) -> int:
    return max(sum(start <= other < start + MINUTE for other in starts) for start in starts)


@pytest.mark.parametrize("limit", [7, 50, 600])
def test_no_minute_has_more_requests_than_the_limit(limit: int) -> None:
    """Not even the first one, where a bucket of `limit` would let nearly twice as many through."""
    starts = run_virtually(_starts(RequestRate(limit), 3 * limit))
    assert _most_in_a_minute(starts) <= limit
    gaps = [later - earlier for earlier, later in pairwise(starts)]
    assert max(gaps) == pytest.approx(min(gaps), rel=0.01)


@pytest.mark.parametrize("tokens", [10, 150, 2500])
def test_no_minute_has_more_tokens_than_the_limit(tokens: int) -> None:
    """Small calls, and calls larger than what may go at once."""
    limit = 10_000
    starts = run_virtually(_starts(RequestRate(None, limit), 4 * limit // tokens, tokens))
    assert _most_in_a_minute(starts) * tokens <= limit
    assert starts[-1] < 4.6 * MINUTE, "the limit is used, too"


def test_what_a_call_used_beyond_its_estimate_is_paid_by_the_next() -> None:
    """Estimates are made before the answer is there."""

    async def spaced() -> float:
        rate = RequestRate(None, 6000)
        await rate.wait(600)
        rate.correct(600, 2400)
        await rate.wait(0)
        return asyncio.get_running_loop().time()

    assert run_virtually(spaced()) == pytest.approx(20.0, rel=0.02)


def test_what_a_call_did_not_use_is_credited() -> None:
    """Otherwise a careful estimate would halve the rate."""

    async def spaced() -> float:
        rate = RequestRate(None, 6000)
        await rate.wait(600)
        rate.correct(600, 0)
        await rate.wait(600)
        return asyncio.get_running_loop().time()

    assert run_virtually(spaced()) == 0.0


def test_processes_that_share_a_limit_stay_below_it_together() -> None:
    """Three with a third each, also when one of them comes later and the others make room."""

    async def shared() -> list[float]:
        rates = [RequestRate(100) for _ in range(3)]
        rates[0].share(2)
        rates[1].share(2)
        early = [asyncio.create_task(_starts(rate, 80)) for rate in rates[:2]]
        await asyncio.sleep(45.0)
        for rate in rates:
            rate.share(3)
        late = asyncio.create_task(_starts(rates[2], 60))
        return [start for starts in await asyncio.gather(*early, late) for start in starts]

    assert _most_in_a_minute(run_virtually(shared())) <= 100


def test_without_limits_nobody_waits() -> None:
    """The default."""
    assert not RequestRate().is_limited
    assert run_virtually(_starts(RequestRate(), 100, 10_000)) == [0.0] * 100
