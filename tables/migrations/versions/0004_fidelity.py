"""Facts that contradict the ontology are flagged; entities of different documents are linked."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.schema import SchemaItem

from tables.base import ACTOR
from tables.row_security import protect_statements

revision = "0004"
down_revision: str | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


_S = "knowledge"


def upgrade() -> None:
    """Facts of earlier runs are not flagged, nor their entities linked: that was not looked at."""
    flags = sa.Column("flags", ARRAY(sa.Text()), nullable=False, server_default="{}")
    op.add_column("relation", flags, schema=_S)
    _create("entity_name", [*_text("entity_id", "key"), _refers("entity_name", "entity_id")])
    op.create_index("ix_entity_name_organization_id_key", "entity_name", ["organization_id", "key"], schema=_S)
    op.create_index(
        "ix_entity_name_organization_id_entity_id", "entity_name", ["organization_id", "entity_id"], schema=_S
    )
    score = sa.Column("score", sa.Float(), nullable=False)
    reasons = sa.Column("reasons", ARRAY(sa.Text()), nullable=False)
    ends = [_refers("entity_link", column) for column in ("entity_id", "other_id")]
    _create("entity_link", [*_text("entity_id", "other_id"), score, reasons, *_text("status"), *ends])
    for column in ("entity_id", "other_id"):
        name = f"ix_entity_link_organization_id_{column}"
        op.create_index(name, "entity_link", ["organization_id", column], schema=_S)


def downgrade() -> None:
    """Forgets flags and links."""
    op.drop_table("entity_link", schema=_S)
    op.drop_table("entity_name", schema=_S)
    op.drop_column("relation", "flags", schema=_S)


def _create(table: str, columns: Sequence[SchemaItem]) -> None:
    key = sa.PrimaryKeyConstraint("organization_id", "id", name=f"pk_{table}")
    op.create_table(table, *_text("organization_id", "id"), *columns, *_history(), key, schema=_S)
    for statement in protect_statements(table):
        op.execute(statement)


def _text(*names: str) -> list[SchemaItem]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _refers(table: str, column: str) -> SchemaItem:
    return sa.ForeignKeyConstraint(
        ["organization_id", column],
        [f"{_S}.entity.organization_id", f"{_S}.entity.id"],
        name=f"fk_{table}_organization_id_{column}",
        ondelete="CASCADE",
    )


def _history() -> list[SchemaItem]:
    at, now, actor = sa.DateTime(timezone=True), sa.text("now()"), sa.text(ACTOR)
    return [
        sa.Column("source", sa.Text(), nullable=False, server_default=""),
        sa.Column("version", sa.Integer(), nullable=False, server_default="1"),
        sa.Column("created_at", at, nullable=False, server_default=now),
        sa.Column("created_by", sa.Text(), nullable=False, server_default=actor),
        sa.Column("updated_at", at, nullable=False, server_default=now),
        sa.Column("updated_by", sa.Text(), nullable=False, server_default=actor),
        sa.Column("deleted_at", at),
        sa.Column("deleted_by", sa.Text()),
    ]
