"""Stored answers of stages, by cache key; each organisation has its own."""

import hashlib
from collections.abc import Collection, Mapping

from sqlalchemy import ARRAY, Text, any_, bindparam, func, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.sql.dml import ReturningInsert

from knowledge.errors import ResultNotPersisted, StoreUnavailable
from knowledge.ids import OrganizationId, ResultId
from tables.graph import StageResult
from tables.session import Database


class ResultStore:
    """Keeps stage results in PostgreSQL; what `write` accepted survives the death of everyone involved."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, organization_id: OrganizationId, key: str) -> bytes | None:
        """The result stored under `key`, or None if there is none.

        Raises:
            StoreUnavailable: the database did not answer.
        """
        query = select(StageResult.payload).where(
            StageResult.organization_id == organization_id, StageResult.key == key
        )
        with self._database.org_session(organization_id) as session:
            return session.scalar(query)

    def read_many(self, organization_id: OrganizationId, keys: Collection[str]) -> dict[str, bytes]:
        """The results stored under these keys, in one query; keys without a result are left out.

        Raises:
            StoreUnavailable: the database did not answer.
        """
        wanted = bindparam("wanted", sorted(keys), type_=ARRAY(Text))
        query = select(StageResult.key, StageResult.payload).where(
            StageResult.organization_id == organization_id, StageResult.key == any_(wanted)
        )
        with self._database.org_session(organization_id) as session:
            return {row.key: row.payload for row in session.execute(query)}

    def write(self, organization_id: OrganizationId, key: str, payload: bytes) -> None:
        """Stores the result under `key`, in place of an earlier one, and returns once it is durable.

        Raises:
            ResultNotPersisted: it is not stored, or not as it was given.
        """
        self.write_many(organization_id, {key: payload})

    def write_many(self, organization_id: OrganizationId, payloads: Mapping[str, bytes]) -> None:
        """Stores all results, by key, in one transaction, in place of earlier ones; returns once they are durable.

        Raises:
            ResultNotPersisted: one is not stored, or not as it was given; then none is.
        """
        try:
            with self._database.org_session(organization_id) as session:
                stored = {row.key: row.digest for row in session.execute(_upsert(organization_id, payloads))}
                for key, payload in payloads.items():
                    if stored.get(key) != _digest(payload):
                        raise ResultNotPersisted(f"the result {key!r} was stored as something else: try again")
        except (StoreUnavailable, SQLAlchemyError) as error:
            raise ResultNotPersisted(f"the result {next(iter(payloads))!r} could not be stored: {error}") from error


def _digest(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()


def _upsert(organization_id: OrganizationId, payloads: Mapping[str, bytes]) -> ReturningInsert[str, str]:
    """The statement that stores results, and returns each key with the digest of what the database then has."""
    row = insert(StageResult).values(
        [
            {
                "organization_id": organization_id,
                "id": ResultId.derive(organization_id, key),
                "key": key,
                "payload": payload,
                "digest": _digest(payload),
            }
            # Two processes that store the same keys lock their rows in the same order.
            for key, payload in sorted(payloads.items())
        ]
    )
    return row.on_conflict_do_update(
        index_elements=["organization_id", "key"],
        set_={"payload": row.excluded.payload, "digest": row.excluded.digest},
    ).returning(StageResult.key, func.encode(func.sha256(StageResult.payload), "hex").label("digest"))
