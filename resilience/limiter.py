"""Limits on when the next request may begin: a rate of our own, and what an endpoint asked for."""

import asyncio

from aiolimiter import AsyncLimiter


class RequestRate:
    """Lets at most `requests_per_minute` calls begin in any minute, evenly spaced; belongs to one event loop.

    A bucket of one request refilled every 60/n seconds, because a bucket of n requests a minute lets almost
    2n through in one minute: n saved up, and the refill of that minute.
    """

    def __init__(self, requests_per_minute: int | None) -> None:
        self._limiter = None if requests_per_minute is None else AsyncLimiter(1, 60 / requests_per_minute)

    async def wait(self) -> None:
        """Returns when the next call may begin."""
        if self._limiter is not None:
            await self._limiter.acquire()


class Pause:
    """The time for which an endpoint wants to be left alone (Retry-After), by all of its callers."""

    def __init__(self) -> None:
        self._until = 0.0

    @property
    def left_seconds(self) -> float:
        """How long the pause still lasts; 0 when there is none."""
        return max(0.0, self._until - asyncio.get_running_loop().time())

    def extend(self, seconds: float) -> None:
        """Nobody calls for this long from now on; a longer pause already agreed stays."""
        self._until = max(self._until, asyncio.get_running_loop().time() + seconds)

    async def over(self) -> None:
        """Returns when there is no pause."""
        while (seconds := self.left_seconds) > 0:  # noqa: ASYNC110 -- it may be extended while we sleep
            await asyncio.sleep(seconds)
