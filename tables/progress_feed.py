"""What happens to one execution, read once and told to all in this process who follow it."""

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from knowledge.errors import FollowerTooSlow, StoreUnavailable
from knowledge.ids import ExecutionId
from knowledge.progress import ProgressEvent
from tables.progress import ProgressJournal

_AGAIN_SECONDS = 0.25
# Should a notification get lost on its way, as behind a connection pooler.
_LOOK_SECONDS = 15.0
_PAGE = 1_000
Answer = TypeVar("Answer")
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FollowerLimits:
    """When who follows an execution is too slow: so many events behind, or so long without taking the next one."""

    events: int = 10_000
    seconds: float = 60.0


@dataclass(slots=True, eq=False)
class _Follower:
    """Who follows, up to `last`; `handed_at` is when they were given something, until they want more."""

    last: int
    was_up_to_date: bool = False
    handed_at: float | None = None
    is_dropped: bool = False
    is_told_the_end: bool = False

    def is_too_slow(self, position: int, now: float, limits: FollowerLimits) -> bool:
        if self.handed_at is None:
            return False
        is_behind = self.was_up_to_date and position - self.last > limits.events
        return is_behind or now - self.handed_at > limits.seconds


class ProgressFeed:
    """The latest events of an execution. Nobody who follows them can hold up the others, or the reading."""

    def __init__(
        self, journal: ProgressJournal, execution_id: ExecutionId, limits: FollowerLimits, now: Callable[[], float]
    ) -> None:
        self._journal = journal
        self._execution_id = execution_id
        self._limits = limits
        self._now = now
        self._position = 0
        self._is_over = False
        self._recent: deque[ProgressEvent] = deque(maxlen=limits.events)
        self._followers: set[_Follower] = set()
        self._news = asyncio.Event()
        self._changed = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None

    async def open(self) -> None:
        """Begins to read on from where the journal ends now.

        Raises:
            NotFound: the organisation has no such execution.
        """
        head = await _patiently(lambda: self._journal.head(self._execution_id))
        self._position, self._is_over = head.number, head.is_over
        self._reader = asyncio.create_task(self._read_on())
        self._reader.add_done_callback(lambda _: self._changed.set())

    async def stop(self) -> None:
        """Reads no more."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait({self._reader})

    def hear(self, number: int) -> None:
        """The journal has events up to this number."""
        if number > self._position:
            self._news.set()

    def look(self) -> None:
        """The journal may have anything."""
        self._news.set()

    async def follow(self, after: int) -> AsyncGenerator[Sequence[ProgressEvent]]:
        """The events after this number, until the execution is over. See `ProgressStream.batches`."""
        follower = _Follower(after)
        self._followers.add(follower)
        try:
            while not self._is_at_end(follower):
                events = await self._next_events(follower)
                if not events:
                    continue
                follower.last, follower.is_told_the_end = events[-1].number, events[-1].status.is_final
                follower.handed_at = self._now()
                yield events
                follower.handed_at = None
                if follower.is_dropped:
                    raise FollowerTooSlow(self._execution_id, follower.last)
        finally:
            self._followers.discard(follower)

    def _is_at_end(self, follower: _Follower) -> bool:
        if follower.last < self._position:
            return False
        return follower.is_told_the_end or (self._is_over and follower.last == self._position)

    async def _next_events(self, follower: _Follower) -> Sequence[ProgressEvent]:
        """Some events after those that the follower has; none when it should see whether there will be more."""
        missing = self._position - follower.last
        if missing <= 0:
            follower.was_up_to_date = True
            await self._changed.wait()
            self._require_reader()
            return ()
        if missing <= len(self._recent):
            return [self._recent[-n] for n in range(missing, max(0, missing - _PAGE), -1)]
        return await _patiently(lambda: self._journal.read(self._execution_id, follower.last, _PAGE))

    def _require_reader(self) -> None:
        assert self._reader is not None
        if self._reader.cancelled():
            raise RuntimeError("nobody listens any more: a subscription must end before its ProgressListener")
        if self._reader.done():
            self._reader.result()

    async def _read_on(self) -> None:
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(_LOOK_SECONDS):
                    await self._news.wait()
            self._news.clear()
            while await self._read_page() == _PAGE:
                pass

    async def _read_page(self) -> int:
        events = await _patiently(lambda: self._journal.read(self._execution_id, self._position, _PAGE))
        if events:
            self._recent.extend(events)
            self._position, self._is_over = events[-1].number, events[-1].status.is_final
            self._drop_the_slow()
            self._changed.set()
            self._changed = asyncio.Event()
        return len(events)

    def _drop_the_slow(self) -> None:
        now = self._now()
        for follower in list(self._followers):
            if follower.is_too_slow(self._position, now, self._limits):
                follower.is_dropped = True
                self._followers.discard(follower)


async def _patiently(ask: Callable[[], Answer]) -> Answer:
    """The database's answer, once it answers."""
    while True:
        try:
            return await asyncio.to_thread(ask)
        except StoreUnavailable as error:
            _logger.info("progress is read when the database answers again: %s", error.message)
        await asyncio.sleep(_AGAIN_SECONDS)
