"""Alembic's entry: runs migrations on the connection that `tables.schema` opened, within its transaction."""

from alembic import context
from alembic.runtime.migration import MigrationContext
from pgvector.sqlalchemy import VECTOR
from sqlalchemy import Column, Connection
from sqlalchemy.types import TypeEngine

from tables import batch, endpoints, graph, links, search, tokens, workflow
from tables.base import SCHEMA, InstallationTable, OrgTable, VectorType
from tables.search import VECTOR_INDEX_PREFIX

_MODELS = (batch, graph, links, search, tokens, workflow, endpoints)


def _is_ours(name: str | None, kind: str, parents: object) -> bool:
    # Alembic does not compare what an index is of and for: these are made by a migration, and measured by a test.
    if kind == "index" and name is not None and name.startswith(VECTOR_INDEX_PREFIX):
        return False
    return kind != "schema" or name == SCHEMA


def _type_differs(
    migration: MigrationContext,
    found: Column[object],
    wanted: Column[object],
    found_type: TypeEngine[object],
    wanted_type: TypeEngine[object],
) -> bool | None:
    # Alembic's own comparison, which None asks for, does not see a vector's dimension.
    if isinstance(wanted_type, VectorType):
        return not isinstance(found_type, VECTOR) or found_type.dim is not None
    return None


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=[OrgTable.metadata, InstallationTable.metadata],
        version_table_schema=SCHEMA,
        include_schemas=True,
        include_name=_is_ours,
        compare_type=_type_differs,
    )
    with context.begin_transaction():
        context.run_migrations()


_run(context.config.attributes["connection"])
