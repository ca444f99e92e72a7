"""Batches and their documents."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.schema import SchemaItem

from tables.base import ACTOR
from tables.row_security import protect_statements

revision = "0006"
down_revision: str | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_S = "knowledge"
_BATCH, _DOCUMENT = "workflow_batch", "workflow_batch_document"


def _text(*names: str, nullable: bool = False) -> list[SchemaItem]:
    return [sa.Column(name, sa.Text(), nullable=nullable) for name in names]


def _integers(*names: str) -> list[SchemaItem]:
    return [sa.Column(name, sa.Integer(), nullable=False) for name in names]


def _booleans(*names: str) -> list[SchemaItem]:
    return [sa.Column(name, sa.Boolean(), nullable=False) for name in names]


def _time(name: str, *, nullable: bool) -> SchemaItem:
    default = None if nullable else sa.text("now()")
    return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=nullable)


def _history() -> list[SchemaItem]:
    def actor(name: str) -> SchemaItem:
        return sa.Column(name, sa.Text(), nullable=False, server_default=sa.text(ACTOR))

    return [
        sa.Column("source", sa.Text(), nullable=False, server_default=""),
        sa.Column("version", sa.Integer(), nullable=False, server_default="1"),
        *(_time("created_at", nullable=False), actor("created_by")),
        *(_time("updated_at", nullable=False), actor("updated_by")),
        _time("deleted_at", nullable=True),
        sa.Column("deleted_by", sa.Text()),
    ]


def _refers(table: str, column: str, target: str, *, cascade: bool = False) -> SchemaItem:
    return sa.ForeignKeyConstraint(
        ["organization_id", column],
        [f"{_S}.{target}.organization_id", f"{_S}.{target}.id"],
        name=f"fk_{table}_organization_id_{column}",
        ondelete="CASCADE" if cascade else None,
    )


def _create(table: str, *parts: SchemaItem) -> None:
    key = sa.PrimaryKeyConstraint("organization_id", "id", name=f"pk_{table}")
    op.create_table(table, *_text("organization_id", "id"), *parts, *_history(), key, schema=_S)
    for statement in protect_statements(table):
        op.execute(statement)


def _index(table: str, *columns: str, name: str | None = None) -> None:
    names = ["organization_id", *columns]
    op.create_index(name or f"ix_{table}_{'_'.join(names)}", table, names, schema=_S)


def upgrade() -> None:
    """No batches yet."""
    _create(
        _BATCH,
        *_text("name"),
        sa.Column("sources", ARRAY(sa.Text()), nullable=False),
        *_text("ontology"),
        sa.Column("options", JSONB(), nullable=False, server_default="{}"),
        *_integers("max_in_flight"),
        *_text("on_failure"),
        *_booleans("retract_missing"),
        sa.Column("quiet_seconds", sa.Float(), nullable=False),
        *_integers("passes"),
        *_text("flow_run_id", "execution_id", nullable=True),
        _refers(_BATCH, "execution_id", "workflow_execution"),
    )
    _index(_BATCH, "created_at")
    _index(_BATCH, "execution_id")
    _create(
        _DOCUMENT,
        *_text("batch_id", "location", "name", "ontology", "state"),
        *_integers("last_pass", "attempt"),
        *_booleans("reused"),
        *(sa.Column(name, sa.Text(), nullable=False, server_default="") for name in ("seen", "digest")),
        *_text("error", "document_id", "ontology_id", "extraction_id", "flow_run_id", nullable=True),
        *_text("published_id", "published_with_id", nullable=True),
        _time("retracted_at", nullable=True),
        _refers(_DOCUMENT, "batch_id", _BATCH, cascade=True),
        _refers(_DOCUMENT, "document_id", "document"),
        _refers(_DOCUMENT, "ontology_id", "ontology"),
        _refers(_DOCUMENT, "published_id", "document"),
        _refers(_DOCUMENT, "published_with_id", "ontology"),
    )
    _index(_DOCUMENT, "batch_id", "state", "last_pass", name=f"ix_{_DOCUMENT}_standing")
    _index(_DOCUMENT, "flow_run_id")
    _index(_DOCUMENT, "document_id", "ontology_id", name=f"ix_{_DOCUMENT}_content")
    _index(_DOCUMENT, "published_id", "published_with_id", name=f"ix_{_DOCUMENT}_published")
    _index(_DOCUMENT, "ontology_id")
    _index(_DOCUMENT, "published_with_id")


def downgrade() -> None:
    """Without batches; what they extracted stays."""
    for table in (_DOCUMENT, _BATCH):
        op.drop_table(table, schema=_S)
