"""Following executions as they go on: a replay from the journal, and then whatever comes, nothing lost or twice.

All that is followed in a process is heard of over one connection, and read once, however many follow it. A
notification only says that there is something to read; what is told are the journal's rows, by their numbers.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from itertools import islice
from typing import Any, Self, TypeVar

import psycopg

from knowledge.errors import FollowerTooSlow, KnowledgeError, StoreUnavailable
from knowledge.ids import ExecutionId, OrganizationId
from knowledge.progress import ProgressEvent
from tables.progress import CHANNEL, ProgressJournal
from tables.session import Database

_AGAIN_SECONDS = 0.25
# Should a notification ever get lost on its way, as behind a connection pooler.
_LOOK_SECONDS = 15.0
_PAGE = 1_000
Answer = TypeVar("Answer")
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FollowerLimits:
    """When somebody who follows an execution is too slow: so many events behind, or so long without taking the next."""

    events: int = 10_000
    seconds: float = 60.0


class ProgressStream:
    """One organisation's executions, to be followed; made by a ProgressListener."""

    def __init__(self, listener: "ProgressListener", organization_id: OrganizationId) -> None:
        self._listener = listener
        self._organization_id = organization_id

    async def subscribe(self, execution_id: ExecutionId, after: int = 0) -> AsyncGenerator[ProgressEvent]:
        """The execution's events with higher numbers than `after`, those of the past at once, others as they come.

        It ends after the event that ends the execution; an execution that is over and has no more events, at once. A
        database that is away is waited for. Close it (`contextlib.aclosing`) when leaving it early.

        Raises:
            NotFound: the organisation has no such execution.
            FollowerTooSlow: the events were not taken as fast as they came; `last_number` is where to go on after.
        """
        async with self._listener.feed(self._organization_id, execution_id) as feed:
            async for event in feed.follow(after):
                yield event


class ProgressListener:
    """Hears for this process which executions have progressed. An async context manager, of one event loop."""

    def __init__(
        self, database: Database, limits: FollowerLimits | None = None, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._database = database
        self._limits = limits or FollowerLimits()
        self._now = now
        self._feeds: dict[tuple[OrganizationId, ExecutionId], _Feed] = {}
        self._listening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._listening = asyncio.create_task(self._listen())
        return self

    async def __aexit__(self, *exception: object) -> None:
        """Ends what is still followed, wherever it is."""
        assert self._listening is not None
        self._listening.cancel()
        await asyncio.wait({self._listening})
        for feed in self._feeds.values():
            await feed.stop()

    def stream(self, organization_id: OrganizationId) -> ProgressStream:
        """The executions of an organisation."""
        return ProgressStream(self, organization_id)
