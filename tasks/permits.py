"""Permits under the authority of a Prefect global concurrency limit, for all processes and machines."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from prefect.concurrency.asyncio import concurrency

from resilience.permits import InProcessPermits

EMBEDDING_LIMIT = "embedding"


class GlobalPermits:
    """Permits of a named global concurrency limit, taken one call at a time.

    At most `at_once` callers of this process ask for one: a refused caller sleeps for seconds, so a process
    that has the limit to itself must not compete with itself.
    """

    def __init__(self, limit: str, at_once: int) -> None:
        self._limit = limit
        self._ours = InProcessPermits(at_once)

    @asynccontextmanager
    async def permit(self) -> AsyncGenerator[None]:
        """Holds one slot of the limit for the duration of the block.

        Raises:
            ConcurrencySlotAcquisitionError: the limit does not exist, or the server did not answer.
        """
        async with self._ours.permit(), concurrency(self._limit, occupy=1, strict=True):
            yield
