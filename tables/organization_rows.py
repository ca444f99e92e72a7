"""All rows of an organisation, in whatever tables there are: counted, read out, and removed."""

import json
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import CursorResult, select, text
from sqlalchemy.orm import Session

from knowledge.ids import FlowRunId, OrganizationId
from tables.base import SCHEMA
from tables.catalogue import read_catalogue
from tables.session import Database
from tables.workflow import WorkflowExecution

_ROWS_AT_ONCE = 2000
_SNAPSHOT = {"isolation_level": "REPEATABLE READ"}


def organizations(database: Database) -> tuple[OrganizationId, ...]:
    """The organisations that have executions, sorted: all that have ever had a run, because the newest ones stay.

    Raises:
        StoreUnavailable, ConfigurationError: as `Database.operator_session`.
    """
    column = WorkflowExecution.organization_id
    with database.operator_session() as session:
        return tuple(session.scalars(select(column).distinct().order_by(column)))


def flow_runs_of(database: Database, organization_id: OrganizationId) -> frozenset[FlowRunId]:
    """The flow runs that any row of the organisation names.

    Raises:
        StoreUnavailable: the database did not answer.
    """
    found: set[FlowRunId] = set()
    with database.org_session(organization_id) as session:
        catalogue = read_catalogue(session)
        for table in (table for table in catalogue.tables if "flow_run_id" in catalogue.columns[table]):
            query = text(
                f"SELECT DISTINCT flow_run_id FROM {SCHEMA}.{table} "
                "WHERE organization_id = :organization_id AND flow_run_id IS NOT NULL"
            )
            found.update(map(FlowRunId, session.scalars(query, {"organization_id": organization_id})))
    return frozenset(found)


def count_rows(database: Database, organization_id: OrganizationId) -> dict[str, int]:
    """How many rows the organisation has, for every table of the schema that has organisations, by name.

    Raises:
        StoreUnavailable: the database did not answer.
    """
    with database.org_session(organization_id) as session:
        return {table: _count(session, table, organization_id) for table in sorted(read_catalogue(session).tables)}


def _count(session: Session, table: str, organization_id: OrganizationId) -> int:
    query = text(f"SELECT count(*) FROM {SCHEMA}.{table} WHERE organization_id = :organization_id")
    return int(session.scalar(query, {"organization_id": organization_id}) or 0)


def remove_rows(database: Database, organization_id: OrganizationId) -> dict[str, int]:
    """Removes every row of the organisation, a limited number in a transaction; how many, by table.

    Begun again after an interruption, it goes on with what is left.

    Raises:
        StoreUnavailable: the database did not answer.
    """
    with database.org_session(organization_id) as session:
        tables = read_catalogue(session).tables
    return {table: sum(_remove(database, organization_id, table)) for table in tables}


def _remove(database: Database, organization_id: OrganizationId, table: str) -> Iterator[int]:
    statement = text(
        f"DELETE FROM {SCHEMA}.{table} WHERE organization_id = :organization_id AND ctid = ANY(ARRAY("
        f"SELECT ctid FROM {SCHEMA}.{table} WHERE organization_id = :organization_id LIMIT :limit))"
    )
    values = {"organization_id": organization_id, "limit": _ROWS_AT_ONCE}
    while True:
        with database.org_session(organization_id) as session:
            result = session.execute(statement, values)
            assert isinstance(result, CursorResult)
            removed = result.rowcount
        yield removed
        if removed == 0:
            return


@contextmanager
def reading_rows(database: Database, organization_id: OrganizationId) -> Generator["OrganizationRows"]:
    """The organisation's rows as they are now, for as long as the block lasts.

    Raises:
        StoreUnavailable: the database did not answer.
    """
    with database.org_session(organization_id) as session:
        session.connection(execution_options=_SNAPSHOT)
        yield OrganizationRows(session, organization_id)


class OrganizationRows:
    """All rows of an organisation as they are at one moment."""

    def __init__(self, session: Session, organization_id: OrganizationId) -> None:
        self._session = session
        self._organization_id = organization_id
        self.tables = tuple(sorted(read_catalogue(session).tables))
        """The names of all tables."""

    def lines(self, table: str) -> Iterator[str]:
        """Each row of the table as a line of JSON without its end, ordered by id: as PostgreSQL's `row_to_json` has it.

        So bytes are hexadecimal after `\\x`, times are ISO 8601, and vectors are texts of numbers.
        """
        query = text(
            f"SELECT to_jsonb(t) FROM {SCHEMA}.{table} t WHERE organization_id = :organization_id ORDER BY id"
        ).execution_options(yield_per=_ROWS_AT_ONCE)
        rows: Any = self._session.execute(query, {"organization_id": self._organization_id})
        for (row,) in rows:
            yield json.dumps(row, ensure_ascii=False)
