"""The journal of progress, numbered in the execution's row; and the tokens of the HTTP window."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.schema import SchemaItem

from tables.base import ACTOR
from tables.row_security import protect_statements

revision = "0007"
down_revision: str | None = "0008"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_S = "knowledge"
_NAME = sa.String(32)


def _text(*names: str) -> list[SchemaItem]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _times(*names: str, nullable: bool = True) -> list[SchemaItem]:
    return [sa.Column(name, sa.DateTime(timezone=True), nullable=nullable) for name in names]


def _integers(*names: str, nullable: bool = False) -> list[SchemaItem]:
    return [sa.Column(name, sa.Integer(), nullable=nullable) for name in names]


def _history() -> list[SchemaItem]:
    def time(name: str) -> SchemaItem:
        return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.text("now()"))

    def actor(name: str) -> SchemaItem:
        return sa.Column(name, sa.Text(), nullable=False, server_default=sa.text(ACTOR))

    return [
        sa.Column("source", sa.Text(), nullable=False, server_default=""),
        sa.Column("version", sa.Integer(), nullable=False, server_default="1"),
        *(time("created_at"), actor("created_by"), time("updated_at"), actor("updated_by")),
        *_times("deleted_at"),
        sa.Column("deleted_by", sa.Text()),
    ]


def _create(table: str, *columns: SchemaItem) -> None:
    key = sa.PrimaryKeyConstraint("organization_id", "id", name=f"pk_{table}")
    op.create_table(table, *_text("organization_id", "id"), *columns, *_history(), key, schema=_S)
    for statement in protect_statements(table):
        op.execute(statement)


def upgrade() -> None:
    """Executions of before have no journal."""
    zero = sa.text("0")
    op.add_column(
        "workflow_execution", sa.Column("fraction", sa.Float(), nullable=False, server_default=zero), schema=_S
    )
    op.add_column(
        "workflow_execution", sa.Column("last_event", sa.Integer(), nullable=False, server_default=zero), schema=_S
    )
    _create(
        "progress_event",
        *_text("execution_id"),
        *_integers("number"),
        sa.Column("status", _NAME, nullable=False),
        sa.Column("stage", _NAME),
        *_integers("current", "total", nullable=True),
        sa.Column("fraction", sa.Float(), nullable=False),
        *_integers("model_calls", "cached_calls"),
        sa.Column("message", sa.Text(), nullable=False, server_default=""),
        *_times("happened_at", nullable=False),
        sa.UniqueConstraint("organization_id", "execution_id", "number", name="uq_progress_event_number"),
        sa.ForeignKeyConstraint(
            ["organization_id", "execution_id"],
            [f"{_S}.workflow_execution.organization_id", f"{_S}.workflow_execution.id"],
            name="fk_progress_event_organization_id_execution_id",
            ondelete="CASCADE",
        ),
    )
    _create(
        "access_token",
        *_text("name", "secret_digest"),
        *_times("expires_at", "last_used_at", "revoked_at"),
    )


def downgrade() -> None:
    """Forgets the journals, and lets nobody in any more."""
    op.drop_table("access_token", schema=_S)
    op.drop_table("progress_event", schema=_S)
    op.drop_column("workflow_execution", "last_event", schema=_S)
    op.drop_column("workflow_execution", "fraction", schema=_S)
