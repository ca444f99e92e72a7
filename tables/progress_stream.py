"""Following executions as they go on: a replay from the journal, then whatever comes, nothing lost and nothing twice.

All that is followed in a process is heard of over one connection, and read once, however many follow it. A
notification only says that there is something to read; what is told are the journal's rows, by their numbers.
"""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import psycopg

from knowledge.errors import KnowledgeError
from knowledge.ids import ExecutionId, OrganizationId
from knowledge.progress import ProgressEvent
from tables.progress import CHANNEL, ProgressJournal
from tables.progress_feed import FollowerLimits, ProgressFeed
from tables.session import Database

_AGAIN_SECONDS = 0.25
_logger = logging.getLogger(__name__)


class ProgressStream:
    """One organisation's executions, to be followed; made by a ProgressListener."""

    def __init__(self, listener: "ProgressListener", organization_id: OrganizationId) -> None:
        self._listener = listener
        self._organization_id = organization_id

    async def subscribe(self, execution_id: ExecutionId, after: int = 0) -> AsyncGenerator[ProgressEvent]:
        """The execution's events with higher numbers than `after`, those of the past at once, others as they come.

        It ends after the event that ends the execution; at once, if there is no more to come. A database that is away
        is waited for. Close it (`contextlib.aclosing`) when leaving it early.

        Raises:
            NotFound: the organisation has no such execution.
            FollowerTooSlow: the events were not taken as fast as they came; `last_number` is where to go on after.
        """
        async with aclosing(self.batches(execution_id, after)) as batches:
            async for events in batches:
                for event in events:
                    yield event

    async def batches(self, execution_id: ExecutionId, after: int = 0) -> AsyncGenerator[Sequence[ProgressEvent]]:
        """As `subscribe`, with events that are there together in one; none is empty."""
        async with (
            self._listener.feed(self._organization_id, execution_id) as feed,
            aclosing(feed.follow(after)) as batches,
        ):
            async for events in batches:
                yield events


@dataclass(slots=True)
class _Shared:
    """A feed, opened by whoever came first, and how many follow it."""

    feed: ProgressFeed
    opening: asyncio.Task[None]
    followers: int = field(default=0)


class ProgressListener:
    """Hears, for this process, which executions have progressed. An async context manager, of one event loop."""

    def __init__(
        self, database: Database, limits: FollowerLimits | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._limits = limits or FollowerLimits()
        self._now = now
        self._feeds: dict[str, dict[OrganizationId, _Shared]] = {}
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._listening = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *exception: object) -> None:
        assert self._listening is not None
        self._listening.cancel()
        await asyncio.wait({self._listening})
        for shared in self._all():
            await shared.feed.stop()

    def stream(self, organization_id: OrganizationId) -> ProgressStream:
        """The executions of an organisation."""
        return ProgressStream(self, organization_id)

    @asynccontextmanager
    async def feed(self, organization_id: OrganizationId, execution_id: ExecutionId) -> AsyncGenerator[ProgressFeed]:
        """What happens to the execution, read for as long as anybody is in such a block.

        Raises:
            NotFound: the organisation has no such execution.
        """
        of_execution = self._feeds.setdefault(execution_id, {})
        shared = of_execution.get(organization_id) or self._share(organization_id, execution_id)
        shared.followers += 1
        try:
            # Others wait for the opening, too: who is cancelled must not take it from them.
            await asyncio.shield(shared.opening)
            yield shared.feed
        finally:
            shared.followers -= 1
            if not shared.followers:
                self._forget(organization_id, execution_id)
                shared.opening.cancel()
                await shared.feed.stop()

    def _share(self, organization_id: OrganizationId, execution_id: ExecutionId) -> _Shared:
        journal = ProgressJournal(self._database, organization_id)
        feed = ProgressFeed(journal, execution_id, self._limits, self._now)
        shared = _Shared(feed, asyncio.create_task(feed.open()))
        self._feeds[execution_id][organization_id] = shared
        return shared

    def _forget(self, organization_id: OrganizationId, execution_id: ExecutionId) -> None:
        of_execution = self._feeds[execution_id]
        del of_execution[organization_id]
        if not of_execution:
            del self._feeds[execution_id]

    def _all(self) -> list[_Shared]:
        return [shared for of_execution in self._feeds.values() for shared in of_execution.values()]

    async def _listen(self) -> None:
        """Hears notifications for as long as we live, over as many connections as that takes."""
        while True:
            try:
                connection = await self._database.dedicated_async_connection("knowledge progress")
                async with connection:
                    await self._hear_from(connection)
            except (psycopg.Error, KnowledgeError) as error:
                _logger.info("nothing is heard of progress until the database answers again: %s", error)
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _hear_from(self, connection: "psycopg.AsyncConnection[tuple[Any, ...]]") -> None:
        await connection.execute(f"LISTEN {CHANNEL}".encode())
        # Whatever was notified before, somebody may have missed.
        for shared in self._all():
            shared.feed.look()
        async with aclosing(connection.notifies()) as notifications:
            async for notification in notifications:
                execution_id, _, number = notification.payload.partition(" ")
                for shared in self._feeds.get(execution_id, {}).values():
                    shared.feed.hear(int(number))
