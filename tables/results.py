"""Stored answers of stages, by cache key; each organisation has its own."""

import hashlib
from collections.abc import Collection, Mapping

import psycopg

from knowledge.errors import ResultNotPersisted, StoreUnavailable
from knowledge.ids import OrganizationId, ResultId
from tables.session import Cursor, Database

# Columns travel as arrays, so the statement is the same for any number of results. It returns what the database then
# has. Two processes that store the same keys lock their rows in the same order.
_UPSERT = """
    INSERT INTO knowledge.stage_result AS result (organization_id, id, key, payload, digest)
    SELECT %(organization_id)s, id, key, payload, digest
    FROM unnest(%(ids)s::text[], %(keys)s::text[], %(payloads)b::bytea[], %(digests)s::text[])
        AS given(id, key, payload, digest)
    ON CONFLICT (organization_id, key) DO UPDATE SET payload = excluded.payload, digest = excluded.digest
    RETURNING result.key, encode(sha256(result.payload), 'hex')
"""
_FIND = "SELECT key FROM knowledge.stage_result WHERE organization_id = %s AND key = ANY(%s::text[])"
_READ = "SELECT key, payload FROM knowledge.stage_result WHERE organization_id = %s AND key = ANY(%s::text[])"


class ResultStore:
    """Keeps stage results in PostgreSQL; what `write` accepted survives the death of everyone involved."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def read(self, organization_id: OrganizationId, key: str) -> bytes | None:
        """The result stored under `key`, or None if there is none.

        Raises:
            StoreUnavailable: the database did not answer.
        """
        return self.read_many(organization_id, [key]).get(key)

    def read_many(self, organization_id: OrganizationId, keys: Collection[str]) -> dict[str, bytes]:
        """The results stored under these keys, in one query; keys without a result are left out.

        Raises:
            StoreUnavailable: the database did not answer.
        """
        with self._database.org_cursor(organization_id) as cursor:
            return dict(cursor.execute(_READ, (organization_id, sorted(keys)), binary=True).fetchall())

    def find(self, organization_id: OrganizationId, keys: Collection[str]) -> frozenset[str]:
        """Those of the keys under which a result is stored, in one query.

        Raises:
            StoreUnavailable: the database did not answer.
        """
        with self._database.org_cursor(organization_id) as cursor:
            return frozenset(key for (key,) in cursor.execute(_FIND, (organization_id, sorted(keys))).fetchall())

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
            with self._database.org_cursor(organization_id) as cursor:
                store(cursor, organization_id, payloads)
        except (StoreUnavailable, psycopg.Error) as error:
            raise ResultNotPersisted(f"the result {next(iter(payloads))!r} could not be stored: {error}") from error


def store(cursor: Cursor, organization_id: OrganizationId, payloads: Mapping[str, bytes]) -> None:
    """Stores all results, by key, in place of earlier ones; they are durable when the transaction has committed.

    Raises:
        ResultNotPersisted: one is not stored as it was given.
    """
    keys = sorted(payloads)
    rows = {
        "organization_id": organization_id,
        "ids": [ResultId.derive(organization_id, key) for key in keys],
        "keys": keys,
        "payloads": [payloads[key] for key in keys],
        "digests": [_digest(payloads[key]) for key in keys],
    }
    stored = dict(cursor.execute(_UPSERT, rows).fetchall())
    for key, payload in payloads.items():
        if stored.get(key) != _digest(payload):
            raise ResultNotPersisted(f"the result {key!r} was stored as something else: try again")


def _digest(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()
