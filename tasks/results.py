"""The Prefect block that keeps stage results in PostgreSQL, each row under its organisation."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import ClassVar

from prefect.filesystems import WritableFileSystem
from prefect_sqlalchemy import ConnectionComponents, SqlAlchemyConnector
from pydantic import PrivateAttr

from knowledge.errors import KnowledgeError, NotFound, ResultNotPersisted, StoreUnavailable
from knowledge.ids import OrganizationId
from tables.results import ResultStore
from tables.session import ENGINE_OPTIONS, Database
from tasks.batches import Batches
from tasks.cache_keys import organization_of

RESULTS_BLOCK = "knowledge-results"
_PATIENCE_SECONDS = 60.0
_PAUSE_SECONDS = 1.0
# Two that ask within this time share a query, which takes about as long.
_TOGETHER_SECONDS = 0.01


_shared: dict[tuple[object, str], Database] | None = None


def share_databases() -> None:
    """From now on, blocks that name the same database share its connections, however often they are loaded.

    For a process that runs one flow run after another, each of which loads the block.
    """
    global _shared
    _shared = {} if _shared is None else _shared


def _opened(connection: SqlAlchemyConnector) -> Database:
    if _shared is None:
        return Database(connection.get_engine(**ENGINE_OPTIONS))
    info = connection.connection_info
    url = info.create_url() if isinstance(info, ConnectionComponents) else info
    key = (url, repr(connection.connect_args))
    if key not in _shared:
        _shared[key] = Database(connection.get_engine(**ENGINE_OPTIONS))
    return _shared[key]


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
    _reads: Batches[None, bytes | None] = PrivateAttr()
    _writes: Batches[bytes, KnowledgeError | None] = PrivateAttr()

    def model_post_init(self, context: object, /) -> None:
        """Lets calls of an event loop share queries."""
        super().model_post_init(context)
        self._reads = Batches(self._read_many, _TOGETHER_SECONDS)
        self._writes = Batches(self._write_many)

    @property
    def database(self) -> Database:
        """The database behind the block: one engine for each process."""
        if self._database is None:
            self._database = _opened(self.connection)
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
        """As `read_path`, off the event loop, in one query with others that look now, and as patient as a write."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            try:
                content = await self._reads.call(path, None)
            except StoreUnavailable:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(_PAUSE_SECONDS)
            else:
                if content is None:
                    raise NotFound("stored result", path)
                return content

    async def find(self, paths: Collection[str]) -> frozenset[str]:
        """Those of the keys under which something is stored, in one query for each organisation.

        Raises:
            StoreUnavailable: the database did not answer.
        """
        return await asyncio.to_thread(self._find, paths)

    def has_stored(self, path: str) -> bool:
        """Whether this process has stored a result there."""
        return path in self._written

    async def awrite_path(self, path: str, content: bytes) -> None:
        """As `write_path`, off the event loop, and waiting up to a minute for a database that does not answer.

        Answers that arrive together share a transaction: the time in which a kill costs an answered call is short.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while path not in self._written:
            error = await self._writes.call(path, content)
            if error is None:
                return
            if time.monotonic() > deadline:
                raise error
            await asyncio.sleep(_PAUSE_SECONDS)

    def note_stored(self, path: str) -> None:
        """This process has stored the result with something else, in one transaction: it need not be written."""
        self._written.add(path)

    def _find(self, paths: Collection[str]) -> frozenset[str]:
        store = ResultStore(self.database)
        return frozenset[str]().union(*(store.find(owner, keys) for owner, keys in _by_organization(paths).items()))

    def _read_many(self, wanted: Mapping[str, None]) -> dict[str, bytes | None]:
        found: dict[str, bytes | None] = dict.fromkeys(wanted)
        for organization_id, paths in _by_organization(wanted).items():
            found |= ResultStore(self.database).read_many(organization_id, paths)
        return found

    def _write_many(self, contents: Mapping[str, bytes]) -> dict[str, KnowledgeError | None]:
        """What went wrong with each; where a whole transaction fails, one may have spoilt it for the others."""
        try:
            for organization_id, paths in _by_organization(contents).items():
                ResultStore(self.database).write_many(organization_id, {path: contents[path] for path in paths})
        except (StoreUnavailable, ResultNotPersisted) as error:
            if len(contents) == 1:
                return dict.fromkeys(contents, error)
            return {path: self._write_many({path: content})[path] for path, content in contents.items()}
        self._written.update(contents)
        return dict.fromkeys(contents)


def _by_organization(paths: Iterable[str]) -> dict[OrganizationId, list[str]]:
    found: defaultdict[OrganizationId, list[str]] = defaultdict(list)
    for path in paths:
        found[organization_of(path)].append(path)
    return found
