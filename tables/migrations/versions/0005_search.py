"""The search index: segments, entries with vectors, terms; HNSW indexes for the usual dimensions."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import Vector
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.schema import SchemaItem

from tables.base import ACTOR
from tables.row_security import protect_statements

revision = "0005"
down_revision: str | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_S = "knowledge"
_DIMENSIONS = (256, 384, 512, 768, 1024, 1536, 2048, 3072)


def _text(*names: str) -> list[SchemaItem]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _integers(*names: str, nullable: bool = False) -> list[SchemaItem]:
    return [sa.Column(name, sa.Integer(), nullable=nullable) for name in names]


def _history() -> list[SchemaItem]:
    def time(name: str, **options: bool) -> SchemaItem:
        default = None if options.get("nullable") else sa.text("now()")
        return sa.Column(name, sa.DateTime(timezone=True), server_default=default, nullable=bool(options))

    def actor(name: str) -> SchemaItem:
        return sa.Column(name, sa.Text(), nullable=False, server_default=sa.text(ACTOR))

    return [
        sa.Column("source", sa.Text(), nullable=False, server_default=""),
        sa.Column("version", sa.Integer(), nullable=False, server_default="1"),
        *(time("created_at"), actor("created_by"), time("updated_at"), actor("updated_by")),
        time("deleted_at", nullable=True),
        sa.Column("deleted_by", sa.Text()),
    ]


def _create(table: str, parent: str, target: str, *columns: SchemaItem, unique: Sequence[str] = ()) -> None:
    owner = sa.ForeignKeyConstraint(
        ["organization_id", parent],
        [f"{_S}.{target}.organization_id", f"{_S}.{target}.id"],
        name=f"fk_{table}_organization_id_{parent}",
        ondelete="CASCADE",
    )
    key = sa.PrimaryKeyConstraint("organization_id", "id", name=f"pk_{table}")
    names = ["organization_id", *unique]
    only_one = [sa.UniqueConstraint(*names, name=f"uq_{table}_{'_'.join(names)}")] if unique else []
    own = _text("organization_id", "id", parent)
    op.create_table(table, *own, *columns, *_history(), key, owner, *only_one, schema=_S)
    for statement in protect_statements(table):
        op.execute(statement)


def _index(table: str, *columns: str) -> None:
    names = ["organization_id", *columns]
    op.create_index(f"ix_{table}_{'_'.join(names)}", table, names, schema=_S)


def upgrade() -> None:
    """Empty: `knowledge index` fills the index from the published graphs."""
    _create(
        "search_segment",
        "extraction_id",
        "extraction",
        *_text("execution_id", "model"),
        *_integers("dimensions", "entities", "passages"),
        sa.Column("complete", sa.Boolean(), nullable=False, server_default="false"),
        unique=("extraction_id", "model"),
    )
    _create(
        "search_entry",
        "segment_id",
        "search_segment",
        *_integers("position"),
        *_text("kind", "text", "text_digest"),
        sa.Column("targets", ARRAY(sa.Text()), nullable=False),
        *_integers("span_start", "span_end", nullable=True),
        *_text("model"),
        *_integers("dimensions"),
        sa.Column("vector", Vector(), nullable=False),
        unique=("segment_id", "position"),
    )
    _index("search_entry", "model", "kind")
    _index("search_entry", "text_digest")
    _create(
        "search_term",
        "segment_id",
        "search_segment",
        *_text("kind", "term"),
        sa.Column("positions", ARRAY(sa.Integer()), nullable=False),
    )
    _index("search_term", "term", "kind")
    _index("search_term", "segment_id")
    for dimensions in _DIMENSIONS:
        for kind in ("entity", "passage"):
            # An HNSW index needs one dimension, and half floats keep it half as big; empty ones cost nothing. One for
            # each kind, because a question may be nearer to every passage than to any name.
            op.execute(
                f"CREATE INDEX hnsw_search_entry_{kind}_{dimensions} ON {_S}.search_entry USING hnsw "
                f"((vector::halfvec({dimensions})) halfvec_cosine_ops) "
                f"WHERE dimensions = {dimensions} AND kind = '{kind}'"
            )


def downgrade() -> None:
    """Without an index; the graphs stay."""
    for table in ("search_term", "search_entry", "search_segment"):
        op.drop_table(table, schema=_S)
