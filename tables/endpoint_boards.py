"""The boards behind the gates of model endpoints, shared by all processes through PostgreSQL.

What is posted is written in the background and reaches the others as a notification; nobody waits for it. The row is
the authority, and whoever connects anew reads it first.
"""

import asyncio
import hashlib
import json
import logging
import os
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Self
from uuid import uuid4

import psycopg

from knowledge.errors import KnowledgeError
from resilience.board import EndpointBoard, Failures, Hold, News, Sharers, Standing
from tables.endpoints import CHANNEL, EndpointKey, Endpoints, standing_of
from tables.session import Database

_AGAIN_SECONDS = 1.0
_COUNT_SECONDS = 2.0
# Those who were there before have heard by then that we are, and pace themselves accordingly.
_SETTLING_SECONDS = 0.5
_START_SECONDS = 5.0
# Locks that everybody who uses an endpoint shares: the kernel and PostgreSQL drop those of the dead.
_LOCK_CLASS = int.from_bytes(b"kep")
_LOCK = "SELECT pg_advisory_lock_shared(%s, lock) FROM unnest(%s::int[]) AS lock"
_SHARERS = """
    SELECT objid::bigint, count(DISTINCT pid) FROM pg_locks
    WHERE locktype = 'advisory' AND classid::bigint = %s AND objsubid = 2 AND granted
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) GROUP BY objid
"""
_APPLICATION_NAME = "knowledge endpoints"
_Connection = psycopg.Connection[tuple[object, ...]]
_logger = logging.getLogger(__name__)


class _Board:
    """The board of one endpoint; see `resilience.board.EndpointBoard`."""

    def __init__(self, boards: "EndpointBoards", key: EndpointKey) -> None:
        self._boards = boards
        self.key = key
        self.lock = int.from_bytes(hashlib.sha256(key.id.encode()).digest()[:4]) >> 1
        self._version = -1
        self._hearers: list[Callable[[News], None]] = []
        self._latest: dict[type[News], News] = {}

    def subscribe(self, hear: Callable[[News], None]) -> None:
        self._hearers.append(hear)
        for news in self._latest.values():
            hear(news)

    def tell(self, news: News) -> None:
        """Tells the subscribers, unless they have heard later news."""
        if isinstance(news, Standing):
            if news.version <= self._version:
                return
            self._version = news.version
        if not isinstance(news, Failures):
            self._latest[type(news)] = news
        for hear in self._hearers:
            hear(news)

    def post_hold(self, hold: Hold) -> None:
        known = self._version
        self._boards.post(lambda rows: rows.hold(self.key, hold, known))

    def post_release(self) -> None:
        self._boards.post(lambda rows: rows.release(self.key))

    def return_probe(self) -> None:
        self._boards.post(lambda rows: rows.return_probe(self.key))

    def post_failures(self, count: int) -> None:
        self._boards.post(lambda rows: rows.tell_failures(self.key, count))

    async def claim_probe(self) -> bool:
        lasting = self._boards.probe_seconds
        try:
            if await self._boards.ask(lambda rows: rows.claim_probe(self.key, lasting)):
                return True
        except asyncio.CancelledError:
            self.return_probe()
            raise
        # A notification may have been missed: the endpoint stands otherwise than this process believes.
        standing = await self._boards.ask(lambda rows: rows.read(self.key))
        if standing is not None:
            self.tell(standing)
        return False


class EndpointBoards:
    """The boards of the endpoints that this process uses. An async context manager, of one event loop.

    A database that is away stops nobody: what is to be said waits, and gates go by what this process itself sees.
    `probe_seconds` is for how long a claimed probe is nobody else's; `on_own_change` is called, in the event loop, with
    what this process has made of an endpoint. Those who use an endpoint are counted, and told of arrivals, only if
    `shares_rates`: where no rate is bounded nobody needs to wait for the count.
    """

    def __init__(
        self,
        database: Database,
        keys: Sequence[EndpointKey],
        probe_seconds: float,
        on_own_change: Callable[[EndpointKey, Standing], None] = lambda key, standing: None,
        *,
        shares_rates: bool = True,
    ) -> None:
        self._shares_rates = shares_rates
        self._on_own_change = on_own_change
        self.probe_seconds = probe_seconds
        self._database = database
        self._rows = Endpoints(database, f"{socket.gethostname()}/{os.getpid()}/{uuid4().hex[:8]}")
        self._keys = tuple(keys)
        self._boards = {key.id: _Board(self, key) for key in keys}
        self._posts: asyncio.Queue[Callable[[], object]] = asyncio.Queue()
        self._heard = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def board(self, key: EndpointKey) -> EndpointBoard:
        """The board of one of the endpoints."""
        return self._boards[key.id]

    async def __aenter__(self) -> Self:
        """Waits until it is known how the endpoints stand and who uses them, but not long."""
        self._tasks = [asyncio.create_task(self._listen()), asyncio.create_task(self._write())]
        with suppress(TimeoutError):
            async with asyncio.timeout(_START_SECONDS):
                await self._heard.wait()
        return self

    async def __aexit__(self, *exception: object) -> None:
        """What was posted is written first, unless the database is away."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_AGAIN_SECONDS):
                await self._posts.join()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._shares_rates:
            with suppress(KnowledgeError):
                await asyncio.to_thread(self._rows.tell_sharers, self._keys)

    def post(self, write: Callable[[Endpoints], None]) -> None:
        """Has something written, in the order of posting, and as often as it takes."""
        self._posts.put_nowait(lambda: write(self._rows))

    async def ask(self, question: Callable[[Endpoints], Any]) -> Any:
        """The answer, once all that was posted before is written; None if the database is away."""
        await self._posts.join()
        try:
            return await asyncio.to_thread(question, self._rows)
        except KnowledgeError as error:
            _logger.warning("endpoints cannot be asked about: %s", error.message)
            return None

    async def _write(self) -> None:
        while True:
            write = await self._posts.get()
            while not await self._is_written(write):  # noqa: ASYNC110 -- the database is another process
                await asyncio.sleep(_AGAIN_SECONDS)
            self._posts.task_done()

    async def _is_written(self, write: Callable[[], object]) -> bool:
        try:
            await asyncio.to_thread(write)
        except KnowledgeError as error:
            _logger.warning("other processes cannot be told about an endpoint: %s", error.message)
            return False
        return True

    async def _listen(self) -> None:
        """Hears notifications for as long as we live, over as many connections as that takes."""
        while True:
            try:
                connection, standings = await self._connected()
                try:
                    for key, standing in standings.items():
                        self._boards[key.id].tell(standing)
                    await self._hear_from(connection)
                finally:
                    await asyncio.to_thread(self._database.keep, connection, _APPLICATION_NAME)
            except (psycopg.Error, KnowledgeError) as error:
                _logger.warning("nothing is heard about endpoints from other processes: %s", error)
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _connected(self) -> tuple[_Connection, dict[EndpointKey, Standing]]:
        """As `_connect`, off the event loop; a connection that comes when nobody wants it any more is not lost."""
        connecting = asyncio.create_task(asyncio.to_thread(self._connect))
        try:
            return await asyncio.shield(connecting)
        except asyncio.CancelledError:
            with suppress(psycopg.Error, KnowledgeError):
                connection, _ = await connecting
                await asyncio.to_thread(self._database.keep, connection, _APPLICATION_NAME)
            raise

    def _connect(self) -> tuple[_Connection, dict[EndpointKey, Standing]]:
        """A connection that listens and by which we are counted, and how the endpoints stand since."""
        connection = self._database.dedicated_connection(_APPLICATION_NAME)
        try:
            connection.execute(f"LISTEN {CHANNEL}".encode())
            connection.execute(_LOCK, (_LOCK_CLASS, [board.lock for board in self._boards.values()]))
            if self._shares_rates:
                self._rows.tell_sharers(self._keys)
            return connection, self._rows.read_all(self._keys)
        except BaseException:
            connection.close()
            raise

    async def _hear_from(self, connection: _Connection) -> None:
        if self._shares_rates:
            await asyncio.sleep(_SETTLING_SECONDS)
        timeout = _COUNT_SECONDS if self._shares_rates else None
        is_due = self._shares_rates
        while True:
            if is_due:
                counts = await asyncio.to_thread(_count_sharers, connection)
                for board in self._boards.values():
                    board.tell(Sharers(max(1, counts.get(board.lock, 0))))
            self._heard.set()
            # Something may have come with the count.
            news = list(connection.notifies(timeout=0))
            if not news and await _is_readable(connection, timeout):
                news = list(connection.notifies(timeout=0))
            changes = [self._take(json.loads(notification.payload)) for notification in news]
            is_due = self._shares_rates and (any(changes) or not changes)

    def _take(self, news: dict[str, Any]) -> bool:
        """Whether the news is that somebody has come to an endpoint of ours, or left."""
        board = self._boards.get(news["id"])
        if board is None:
            return False
        if "failures" in news:
            if news["process"] != self._rows.process:
                board.tell(Failures(news["process"], int(news["failures"])))
        elif "version" in news:
            standing = standing_of(news)
            board.tell(standing)
            if news["process"] == self._rows.process:
                self._on_own_change(board.key, standing)
        else:
            return True
        return False


def _count_sharers(connection: _Connection) -> dict[int, int]:
    """How many use an endpoint, by its lock; those that nobody uses are left out."""
    found: list[Any] = connection.execute(_SHARERS, (_LOCK_CLASS,)).fetchall()
    return dict(found)


async def _is_readable(connection: _Connection, timeout_seconds: float | None) -> bool:
    """Waits until it is, or the time is over. psycopg itself would look ten times a second."""
    loop, is_readable = asyncio.get_running_loop(), asyncio.Event()
    descriptor = connection.fileno()
    loop.add_reader(descriptor, is_readable.set)
    try:
        async with asyncio.timeout(timeout_seconds):
            await is_readable.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(descriptor)
    return True
