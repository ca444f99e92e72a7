"""Alembic's entry: runs migrations on the connection that `tables.schema` opened, within its transaction."""

from alembic import context
from sqlalchemy import Connection

from tables import graph, workflow
from tables.base import SCHEMA, OrgTable

_MODELS = (graph, workflow)


def _is_ours(name: str | None, kind: str, parents: object) -> bool:
    return kind != "schema" or name == SCHEMA


def _run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=OrgTable.metadata,
        version_table_schema=SCHEMA,
        include_schemas=True,
        include_name=_is_ours,
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


_run(context.config.attributes["connection"])
