"""Permits shared by processes: slots are leased for seconds, and many calls run through each lease.

Asking a server for a permit around every call uses slots of 50 ms calls to a tenth, because a refused caller sleeps
while slots stand idle. Here a process keeps a slot for a turn, or until nobody of its own waits, and then leaves it
to others for a moment before it asks again: so processes take turns, and none starves.
"""

import asyncio
import logging
import random
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Protocol, Self

_logger = logging.getLogger(__name__)


class PermitLostError(Exception):
    """A call had to be cut off, because the lease of its permit could not be renewed in time."""


class LeaseService(Protocol):
    """Hands out leases of single slots under one limit. Any method may raise OSError when it cannot be reached."""

    async def acquire(self) -> str | None:
        """The id of a lease on a slot, or None when all slots are taken."""
        ...

    async def renew(self, lease_id: str) -> None:
        """Lets the lease run for its whole duration again."""
        ...

    async def release(self, lease_id: str) -> None:
        """Gives the slot back."""
        ...


@dataclass(frozen=True, slots=True)
class LeaseTiming:
    """All in seconds. A lease runs `duration` unless renewed; one that is in use is renewed every `renewal`.

    A slot is kept for a `turn` at most. Without work it is kept for a `linger`, if it is the only one without work and
    was granted at once, and otherwise for a `contended_linger`: others may want it. `pause` passes before it is asked
    for again, longer than the `poll` at which others ask. A call is cut off `margin` before its lease runs out.
    """

    duration: float = 60.0
    renewal: float = 20.0
    margin: float = 5.0
    turn: float = 10.0
    linger: float = 1.0
    contended_linger: float = 0.1
    pause: float = 0.25
    poll: float = 0.1
    patience: float = 0.1


@dataclass(slots=True, eq=False)
class _Holder:
    """A caller: granted when `granted` is done, over when `returned` is set; `deadline` cuts its call off."""

    granted: asyncio.Future[None]
    returned: asyncio.Event = field(default_factory=asyncio.Event)
    deadline: asyncio.Timeout | None = None


class LeasedPermits:
    """Permits of a limit that other processes share; at most `slots` here at once, first come first served.

    Use as an async context manager, within one event loop; leaving it gives all slots back. `held` and `queued`
    tell how many callers hold a permit and how many wait.
    """

    def __init__(self, service: LeaseService, slots: int, timing: LeaseTiming | None = None) -> None:
        self._service = service
        self._slots = slots
        self._timing = timing or LeaseTiming()
        self._waiting: deque[_Holder] = deque()
        self._arrived = asyncio.Condition()
        self._asking = asyncio.Lock()
        self._tasks: list[asyncio.Task[None]] = []
        self._leased = 0
        self._idle = 0
        self.held = 0

    @property
    def queued(self) -> int:
        """Callers that wait for a permit."""
        return len(self._waiting)

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(self._serve_slot()) for _ in range(self._slots)]
        return self

    async def __aexit__(self, *exception: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @asynccontextmanager
    async def permit(self) -> AsyncGenerator[None]:
        """Holds one permit for the duration of the block.

        Raises:
            PermitLostError: the lease could not be renewed, and the block was cut off before it ran out.
        """
        holder = _Holder(asyncio.get_running_loop().create_future())
        async with self._arrived:
            self._waiting.append(holder)
            self._arrived.notify_all()
        try:
            await holder.granted
        except asyncio.CancelledError:
            holder.returned.set()
            with suppress(ValueError):
                self._waiting.remove(holder)
            raise
        self.held += 1
        try:
            async with asyncio.timeout(None) as holder.deadline:
                yield
        except TimeoutError:
            if holder.deadline is not None and holder.deadline.expired():
                raise PermitLostError("the lease of the permit could not be renewed") from None
            raise
        finally:
            self.held -= 1
            holder.returned.set()

    async def _serve_slot(self) -> None:
        while True:
            lease_id, is_contended = await self._lease()
            try:
                await self._serve_turn(lease_id, is_contended=is_contended)
            finally:
                self._leased -= 1
                await self._give_back(lease_id)
            await asyncio.sleep(self._timing.pause)

    async def _lease(self) -> tuple[str, bool]:
        """A lease, once somebody waits whom no idle slot is about to serve, and whether it was refused at first.

        The slot is idle then. One slot asks at a time: more would only be refused more often.
        """
        is_contended = False
        async with self._asking:
            while True:
                await self._until_wanted(is_patient=not is_contended)
                try:
                    lease_id = await self._service.acquire()
                except OSError as error:
                    _logger.warning("no permits can be asked for: %s", error)
                    lease_id = None
                if lease_id is not None:
                    self._leased += 1
                    self._idle += 1
                    return lease_id, is_contended
                is_contended = True
                await asyncio.sleep(self._timing.poll * random.uniform(0.5, 1.5))

    async def _until_wanted(self, *, is_patient: bool) -> None:
        """Returns when more callers wait than slots are idle, and with a slot leased still do after a moment."""

        def is_wanted() -> bool:
            return self._has_waiting() and len(self._waiting) > self._idle

        while True:
            async with self._arrived:
                await self._arrived.wait_for(is_wanted)
            if not (is_patient and self._leased):
                return
            await asyncio.sleep(self._timing.patience)
            if is_wanted():
                return

    async def _serve_turn(self, lease_id: str, *, is_contended: bool) -> None:
        loop = asyncio.get_running_loop()
        end_of_turn = loop.time() + self._timing.turn
        expires = loop.time() + self._timing.duration
        while (holder := await self._next(is_contended=is_contended)) is not None:
            holder.granted.set_result(None)
            expires = await self._until_returned(holder, lease_id, expires)
            if loop.time() >= end_of_turn:
                return
            self._idle += 1

    async def _next(self, *, is_contended: bool) -> _Holder | None:
        """The next caller that still waits, or None if none comes within the linger; the slot is not idle any more."""
        is_spare = is_contended or self._idle > 1
        linger = self._timing.contended_linger if is_spare else self._timing.linger
        try:
            async with asyncio.timeout(linger), self._arrived:
                await self._arrived.wait_for(self._has_waiting)
        except TimeoutError:
            self._idle -= 1
            # Whoever came at this very moment counted on this slot.
            async with self._arrived:
                self._arrived.notify_all()
            return None
        except asyncio.CancelledError:
            self._idle -= 1
            raise
        self._idle -= 1
        return self._waiting.popleft()

    def _has_waiting(self) -> bool:
        """Whether somebody waits, and has not been cancelled."""
        while self._waiting and self._waiting[0].granted.done():
            self._waiting.popleft()
        return bool(self._waiting)

    async def _until_returned(self, holder: _Holder, lease_id: str, expires: float) -> float:
        """Waits for the permit's return, renewing its lease; when the lease then runs out."""
        loop = asyncio.get_running_loop()
        while not await _is_set_within(holder.returned, min(self._timing.renewal, self._left(expires))):
            try:
                await self._service.renew(lease_id)
                expires = loop.time() + self._timing.duration
            except OSError as error:
                _logger.warning("a permit could not be renewed: %s", error)
                if self._left(expires) > 0:
                    await _is_set_within(holder.returned, min(self._timing.poll, self._left(expires)))
                    continue
                if holder.deadline is not None:
                    holder.deadline.reschedule(loop.time())
                await holder.returned.wait()
        return expires

    def _left(self, expires: float) -> float:
        return max(0.0, expires - self._timing.margin - asyncio.get_running_loop().time())

    async def _give_back(self, lease_id: str) -> None:
        try:
            await asyncio.shield(self._service.release(lease_id))
        except OSError as error:
            _logger.warning("a permit was not given back, and comes free when its lease runs out: %s", error)


async def _is_set_within(event: asyncio.Event, seconds: float) -> bool:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return event.is_set()
    return True
