"""Permits under the authority of a Prefect global concurrency limit, for all processes and machines."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from prefect.concurrency.asyncio import concurrency

EMBEDDING_LIMIT = "embedding"
# The least that Prefect allows, because a killed process's slots are missing for that long.
_LEASE_SECONDS = 60


class GlobalPermits:
    """Permits of a named global concurrency limit, taken one call at a time."""

    def __init__(self, limit: str = EMBEDDING_LIMIT) -> None:
        self._limit = limit

    @asynccontextmanager
    async def permit(self) -> AsyncGenerator[None]:
        """Holds one slot of the limit for the duration of the block.

        Raises:
            ConcurrencySlotAcquisitionError: the limit does not exist, or the server did not answer.
        """
        # A server that is away when a lease should be renewed must not break off a call that is paid for.
        async with concurrency(
            self._limit,
            occupy=1,
            strict=True,
            lease_duration=_LEASE_SECONDS,
            raise_on_lease_renewal_failure=False,
        ):
            yield
