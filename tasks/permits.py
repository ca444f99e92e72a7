"""Permits under the authority of a Prefect global concurrency limit, for all processes and machines."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError, concurrency

EMBEDDING_LIMIT = "embedding"
# The least that Prefect allows, because a killed process's slots are missing for that long.
_LEASE_SECONDS = 60
_PATIENCE_SECONDS = 120.0
_PAUSE_SECONDS = 0.5
_SERVER_ERRORS = 500
_logger = logging.getLogger(__name__)


class GlobalPermits:
    """Permits of a named global concurrency limit, taken one call at a time."""

    def __init__(self, limit: str = EMBEDDING_LIMIT) -> None:
        self._limit = limit
        self._holders: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def permit(self) -> AsyncGenerator[None]:
        """Holds one slot of the limit for the duration of the block; waits for a server that is away.

        The slot is given back beside what follows: an answer must be stored at once, not after a round trip.

        Raises:
            ConcurrencySlotAcquisitionError: the limit does not exist, or the server did not answer for minutes.
        """
        taken, done = asyncio.get_running_loop().create_future(), asyncio.Event()
        holder = asyncio.create_task(self._hold(taken, done))
        self._holders.add(holder)
        holder.add_done_callback(self._holders.discard)
        try:
            await taken
            yield
        finally:
            done.set()

    async def _hold(self, taken: "asyncio.Future[None]", done: asyncio.Event) -> None:
        try:
            slot = await self._acquire()
        except Exception as error:  # noqa: BLE001 -- told to whoever waits for the slot
            if not taken.done():
                taken.set_exception(error)
            return
        if not taken.done():
            taken.set_result(None)
        await done.wait()
        try:
            await slot.aclose()
        except httpx.HTTPError as error:
            # It comes back when its lease ends.
            _logger.warning("a slot of %r could not be given back now: %s", self._limit, error)

    async def _acquire(self) -> AsyncExitStack:
        deadline = asyncio.get_running_loop().time() + _PATIENCE_SECONDS
        while True:
            slot = AsyncExitStack()
            try:
                await slot.enter_async_context(self._slot())
            except ConcurrencySlotAcquisitionError as error:
                if not _is_away(error.__cause__) or asyncio.get_running_loop().time() > deadline:
                    raise
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                return slot

    @asynccontextmanager
    async def _slot(self) -> AsyncGenerator[None]:
        # A server that is away when a lease should be renewed must not break off a call that is paid for.
        async with concurrency(
            self._limit,
            occupy=1,
            strict=True,
            lease_duration=_LEASE_SECONDS,
            raise_on_lease_renewal_failure=False,
        ):
            yield


def _is_away(cause: BaseException | None) -> bool:
    """Whether the server could not be reached, or could not do its work."""
    if isinstance(cause, httpx.HTTPStatusError):
        return cause.response.status_code >= _SERVER_ERRORS
    return isinstance(cause, httpx.TransportError)
