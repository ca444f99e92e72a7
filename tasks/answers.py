"""Reading many stored answers at once, for a run that resumes."""

import asyncio

from knowledge.errors import KnowledgeError
from knowledge.ids import OrganizationId
from tables.results import ResultStore
from tables.session import Database


class StoredAnswers:
    """One organisation's stored answers. What is looked up while a query is under way goes into the next one.

    So chunks that are replayed side by side share queries, and a single look-up waits for nobody.
    """

    def __init__(self, database: Database, organization_id: OrganizationId) -> None:
        self._store = ResultStore(database)
        self._organization_id = organization_id
        self._wanted: dict[str, asyncio.Future[bytes | None]] = {}
        self._reader: asyncio.Task[None] | None = None

    async def read(self, key: str) -> bytes | None:
        """The record stored under this key, or None if there is none.

        Raises:
            StoreUnavailable: the database did not answer.
        """
        found = self._wanted.setdefault(key, asyncio.get_running_loop().create_future())
        if self._reader is None or self._reader.done():
            self._reader = asyncio.create_task(self._read_wanted())
        # Others may wait for the same key: who is cancelled must not take it from them.
        return await asyncio.shield(found)

    async def _read_wanted(self) -> None:
        while self._wanted:
            wanted, self._wanted = self._wanted, {}
            try:
                found = await asyncio.to_thread(self._store.read_many, self._organization_id, wanted.keys())
            except KnowledgeError as error:
                for future in wanted.values():
                    future.set_exception(error)
            else:
                for key, future in wanted.items():
                    future.set_result(found.get(key))
