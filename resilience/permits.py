"""Permits: how many calls of an endpoint may be in flight at once."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Protocol


class Permits(Protocol):
    """Hands out a bounded number of permits; callers past the bound wait their turn."""

    def permit(self) -> AbstractAsyncContextManager[None]:
        """Holds one permit for the duration of the block."""
        ...


class InProcessPermits:
    """Permits shared by the callers of one event loop, first come first served.

    `held` and `queued` tell how many callers hold a permit and how many wait: 20 concurrent callers of
    5 permits are 5 held and 15 queued.
    """

    def __init__(self, permits: int) -> None:
        if permits < 1:
            raise ValueError("at least one permit is needed")
        self._semaphore = asyncio.Semaphore(permits)
        self.held = 0
        self.queued = 0

    @asynccontextmanager
    async def permit(self) -> AsyncGenerator[None]:
        """Holds one permit for the duration of the block."""
        self.queued += 1
        try:
            await self._semaphore.acquire()
        finally:
            self.queued -= 1
        self.held += 1
        try:
            yield
        finally:
            self.held -= 1
            self._semaphore.release()
