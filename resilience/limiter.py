"""How fast an endpoint may be asked: requests and tokens a minute, never past the limit in any minute.

Processes share the limits in equal parts, each pacing its part by itself: no call waits for a shared memory, and the
part of a process that dies falls to the others as soon as they count themselves.
"""

import asyncio

from aiolimiter import AsyncLimiter

# A little more than a minute, because calls arrive less evenly than they begin.
_MINUTE_SECONDS = 60.5
# This share of a minute's tokens may go at once, and the rest evenly, so that no minute has more than all of them.
_AT_ONCE = 0.1


class RequestRate:
    """What one process may ask of an endpoint; None means without limit. Belongs to one event loop.

    Requests begin evenly spaced: a bucket of n a minute would let almost 2n through in one minute, n saved up, and
    the refill of that minute. Tokens are charged by estimate when a call begins, and corrected by `correct`.
    """

    def __init__(self, requests_per_minute: int | None = None, tokens_per_minute: int | None = None) -> None:
        self._requests_per_minute = requests_per_minute
        self._tokens_per_minute = tokens_per_minute
        self._requests = _Bucket()
        self._tokens = _Bucket()
        self._owed = 0.0
        self._processes = 0
        self.share(1)

    @property
    def is_limited(self) -> bool:
        """Whether there is any limit to keep."""
        return self._requests_per_minute is not None or self._tokens_per_minute is not None

    def share(self, processes: int) -> None:
        """From now on this process has one part of so many equal ones (at least 1)."""
        if processes == self._processes:
            return
        self._processes = processes
        if self._requests_per_minute is not None:
            part = self._requests_per_minute // processes or self._requests_per_minute / processes
            self._requests.limit(1.0, part)
        if self._tokens_per_minute is not None:
            part = self._tokens_per_minute / processes
            self._tokens.limit(_AT_ONCE * part, (1 - _AT_ONCE) * part)

    async def wait(self, tokens: int = 0) -> None:
        """Returns when a call of about so many tokens may begin."""
        if self._tokens_per_minute is not None:
            due, self._owed = tokens + self._owed, 0.0
            self._owed = min(0.0, due)
            await self._tokens.draw(max(0.0, due))
        if self._requests_per_minute is not None:
            await self._requests.draw(1.0)

    def correct(self, estimated: int, used: int) -> None:
        """Charges the next call with what a call used beyond its estimate, or credits it with what it did not use."""
        if self._tokens_per_minute is not None:
            self._owed += used - estimated


class _Bucket:
    """A leaky bucket whose callers take turns: first come, first served, and large amounts in pieces."""

    def __init__(self) -> None:
        self._turn = asyncio.Lock()
        self._limiter: AsyncLimiter | None = None
        self._is_new = False

    def limit(self, at_once: float, per_minute: float) -> None:
        """So much at once, and so much a minute; what the bucket held before counts as its new fill."""
        self._is_new = self._limiter is not None
        self._limiter = AsyncLimiter(at_once, _MINUTE_SECONDS * at_once / per_minute)

    async def draw(self, amount: float) -> None:
        async with self._turn:
            while amount > 0:
                limiter = self._limiter
                assert limiter is not None
                if self._is_new:
                    self._is_new = False
                    await limiter.acquire(limiter.max_rate)
                piece = min(amount, limiter.max_rate)
                await limiter.acquire(piece)
                amount -= piece
