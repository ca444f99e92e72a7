"""A limit on requests a minute."""

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
