"""The fence: at most one live process works on a flow run, and whether one does can be seen from outside.

It is a PostgreSQL session advisory lock on a connection of its own: when the process dies, the kernel closes the
connection and the lock is free at once; a lost machine is noticed by TCP keepalives after some 25 seconds.
"""

import asyncio
import hashlib
import os
import socket
from collections.abc import Callable, Collection
from contextlib import closing, suppress
from uuid import uuid4

import psycopg
from sqlalchemy import text
from sqlalchemy.orm import Session

from knowledge.errors import FenceLost, StoreUnavailable
from knowledge.ids import FlowRunId
from tables.session import Database
from tables.signals import CHANNEL

_APPLICATION_NAME = "knowledge fence"
_PATIENCE_SECONDS = 60.0
_PAUSE_SECONDS = 0.2
_HELD = text(
    "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 "
    "AND granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
# Keys are split in two halves there; a login may end the sessions of its own role.
_EVICT = (
    "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 1 AND granted "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND (classid::bigint << 32) | objid::bigint = %(key)s"
)
_Connection = psycopg.Connection[tuple[object, ...]]


def fence_key(flow_run_id: FlowRunId) -> int:
    """The advisory lock's key, a signed 64-bit number: from SHA-256, so that keys of different runs differ."""
    digest = hashlib.sha256(f"knowledge.flow_run:{flow_run_id}".encode()).digest()
    return int.from_bytes(digest[:8], signed=True)


def held_fences(database: Database, flow_run_ids: Collection[FlowRunId]) -> frozenset[FlowRunId]:
    """Those of the flow runs whose fence a live process holds. Looking takes no lock, so it is in nobody's way.

    Raises:
        StoreUnavailable: the database did not answer.
    """
    with database.operator_session() as session:
        held = set(session.scalars(_HELD))
    return frozenset(run for run in flow_run_ids if fence_key(run) in held)


def held_by_session(session: Session, flow_run_id: FlowRunId) -> bool:
    """As `held_fences`, for one flow run and within a transaction."""
    return fence_key(flow_run_id) in set(session.scalars(_HELD))


def evict(database: Database, flow_run_id: FlowRunId) -> None:
    """Takes the fence from a live process, which gets it back unless its execution has been ended or given away.

    Raises:
        StoreUnavailable: the database did not answer.
    """
    with closing(database.dedicated_connection("knowledge recovery")) as connection:
        connection.execute(_EVICT, {"key": fence_key(flow_run_id)})


class Fence:
    """This process's claim to a flow run; use it in one event loop.

    The lock's connection is watched, not polled. When it breaks, because PostgreSQL restarts, the lock is taken
    again as soon as may be, and `held` waits for that. `holder` names this claim in the execution's row.
    """

    def __init__(self, database: Database, flow_run_id: FlowRunId, patience_seconds: float = _PATIENCE_SECONDS) -> None:
        self.holder = f"{socket.gethostname()}/{os.getpid()}/{uuid4().hex}"
        self._database = database
        self._key = fence_key(flow_run_id)
        self._patience_seconds = patience_seconds
        self._is_ours: Callable[[], bool] = lambda: True
        self._on_loss: Callable[[], object] = lambda: None
        self._hear: Callable[[str], object] = lambda news: None
        self._connection: _Connection | None = None
        self._regaining: asyncio.Task[None] | None = None
        self._descriptor: int | None = None
        self._is_lost = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def take(self) -> bool:
        """Whether the flow run is ours now; if not, another live process has it.

        Raises:
            StoreUnavailable: the database did not answer for as long as our patience lasts.
        """
        self._loop = asyncio.get_running_loop()
        taken = await self._patiently(self._try_lock)
        if taken:
            self._watch()
        return taken

    def claim(self, is_ours: Callable[[], bool], on_loss: Callable[[], object]) -> None:
        """From now on a lock taken again is only good if `is_ours`, called in a thread, says so; else `on_loss`."""
        self._is_ours = is_ours
        self._on_loss = on_loss

    def listen(self, hear: Callable[[str], object]) -> None:
        """From now on `hear` is called, in the event loop, with what is notified on `CHANNEL`; some may be missed."""
        self._hear = hear

    async def held(self) -> None:
        """Returns while, or as soon as, the lock is held: await it before every write.

        Raises:
            FenceLost: another process may have the run; write nothing more.
            StoreUnavailable: the database did not answer for as long as our patience lasts.
        """
        if self._regaining is not None:
            await asyncio.shield(self._regaining)

    @property
    def is_lost(self) -> bool:
        """Whether the run is ours no more."""
        return self._is_lost

    @property
    def is_regaining(self) -> bool:
        """Whether the connection was found broken, and the lock is not held again."""
        return self._regaining is not None

    async def release(self) -> None:
        """Gives the flow run up."""
        self._unwatch()
        if self._regaining is not None:
            self._regaining.cancel()
            with suppress(asyncio.CancelledError, FenceLost, StoreUnavailable):
                await self._regaining
        await asyncio.to_thread(self._disconnect)

    def _watch(self) -> None:
        # An idle connection has something to read when it is closed, when there is news, and almost never otherwise.
        assert self._connection is not None
        self._descriptor = self._connection.fileno()
        asyncio.get_running_loop().add_reader(self._descriptor, self._examine)

    def _unwatch(self) -> None:
        if self._descriptor is not None:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            self._descriptor = None

    def _examine(self) -> None:
        self._unwatch()
        self._regaining = asyncio.get_running_loop().create_task(self._regain())
        self._regaining.add_done_callback(self._note_outcome)

    def _note_outcome(self, regaining: "asyncio.Task[None]") -> None:
        """Whoever awaits `held` is told of a failure; and whoever does not, of a loss."""
        if not regaining.cancelled() and isinstance(regaining.exception(), FenceLost):
            self._is_lost = True
            self._on_loss()

    async def _regain(self) -> None:
        if not await asyncio.to_thread(self._is_connected):
            await self._patiently(self._retake)
        self._watch()
        self._regaining = None

    def _is_connected(self) -> bool:
        """Whether it is; reading the answer takes in news as well."""
        assert self._connection is not None
        try:
            self._connection.execute("SELECT 1")
        except psycopg.Error:
            return False
        return True

    def _retake(self) -> bool:
        """Whether the lock is ours again; a server that ends our old session slowly may need a moment."""
        taken = self._try_lock()
        if not self._is_ours():
            self._disconnect()
            raise FenceLost("another process has taken this flow run over, or its execution has ended")
        if not taken:
            raise StoreUnavailable("the lost lock is still held")
        return True

    async def _patiently(self, attempt: Callable[[], bool]) -> bool:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience_seconds
        while True:
            try:
                return await asyncio.to_thread(attempt)
            except StoreUnavailable:
                if loop.time() > deadline:
                    raise
            await asyncio.sleep(_PAUSE_SECONDS)

    def _try_lock(self) -> bool:
        self._disconnect()
        connection = self._database.dedicated_connection(_APPLICATION_NAME)
        try:
            row = connection.execute("SELECT pg_try_advisory_lock(%s::bigint)", (self._key,)).fetchone()
            if row and row[0]:
                connection.execute(f"LISTEN {CHANNEL}".encode())
        except psycopg.Error as error:
            connection.close()
            raise StoreUnavailable(f"the database did not answer: {error}") from error
        if row is None or not row[0]:
            connection.close()
            return False
        connection.add_notify_handler(self._pass_on)
        self._connection = connection
        return True

    def _pass_on(self, news: psycopg.Notify) -> None:
        """Called in the thread that reads the connection."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._hear, news.payload)

    def _disconnect(self) -> None:
        """Leaves the connection to this process's next fence; the lock is free when this returns."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        connection.remove_notify_handler(self._pass_on)
        self._database.keep(connection, _APPLICATION_NAME)
