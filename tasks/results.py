"""The Prefect block that keeps stage results in PostgreSQL, each row under its organisation."""

import asyncio
import time
from typing import ClassVar, cast

from prefect.filesystems import WritableFileSystem
from prefect_sqlalchemy import SqlAlchemyConnector
from pydantic import PrivateAttr

from knowledge.errors import NotFound, ResultNotPersisted, StoreUnavailable
from tables.results import ResultStore
from tables.session import Database
from tasks.cache_keys import organization_of

RESULTS_BLOCK = "knowledge-results"
_WRITE_PATIENCE_SECONDS = 60.0
_WRITE_PAUSE_SECONDS = 1.0


class ResultStorage(WritableFileSystem):
    """Keeps task results in the table `stage_result`; paths are keys made by `tasks.cache_keys`.

    A write returns only when the row is known to be stored. An answer is worth money, so a database that does
    not answer is waited for before the write, and with it the task, fails.
    """

    _block_type_name: ClassVar[str | None] = "Knowledge Result Storage"
    _block_type_slug: ClassVar[str | None] = "knowledge-result-storage"
    _description: ClassVar[str | None] = "Keeps stage results in PostgreSQL, by organisation and content."

    connection: SqlAlchemyConnector

    _database: Database | None = PrivateAttr(default=None)
    _written: set[str] = PrivateAttr(default_factory=lambda: set[str]())

    @property
    def database(self) -> Database:
        """The database behind the block: one engine for each process."""
        if self._database is None:
            self._database = Database(self.connection.get_engine(**_POOL))
        return self._database

    # Prefect's base class declares these two async, and calls them as sync methods when it wants to.
    def read_path(self, path: str, _sync: bool = True) -> bytes:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The stored result record.

        Raises:
            NotFound: nothing is stored under this key.
            StoreUnavailable: the database did not answer.
        """
        content = ResultStore(self.database).read(organization_of(path), path)
        if content is None:
            raise NotFound("stored result", path)
        return content

    def write_path(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, path: str, content: bytes, _sync: bool = True
    ) -> None:
        """Stores a result record, verified. Keys name content, so what this process stored is not stored again.

        Raises:
            ResultNotPersisted: the row could not be written.
            StoreUnavailable: the database did not answer.
        """
        if path not in self._written:
            ResultStore(self.database).write(organization_of(path), path, content)
            self._written.add(path)

    async def aread_path(self, path: str) -> bytes:
        """As `read_path`, off the event loop."""
        return await asyncio.to_thread(self.read_path, path)

    async def awrite_path(self, path: str, content: bytes) -> None:
        """As `write_path`, off the event loop, and waiting up to a minute for a database that does not answer."""
        deadline = time.monotonic() + _WRITE_PATIENCE_SECONDS
        while True:
            try:
                return await asyncio.to_thread(self.write_path, path, content)
            except (StoreUnavailable, ResultNotPersisted):
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(_WRITE_PAUSE_SECONDS)


# The connector declares every engine option to be a dict.
_POOL = cast("dict[str, dict[str, object]]", {"pool_pre_ping": True, "pool_size": 5, "max_overflow": 5})
