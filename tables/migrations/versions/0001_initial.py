"""The first tables, each closed to other organisations."""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from pgvector.sqlalchemy import Vector
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.schema import SchemaItem

from tables.base import ACTOR
from tables.row_security import protect_statements, role_statements

revision = "0001"
down_revision: str | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_S = "knowledge"
_EXTRACTOR = ("extractor_name", "extractor_model", "extractor_prompt", "extractor_settings")


def _text(*names: str) -> list[SchemaItem]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _optional_text(*names: str) -> list[SchemaItem]:
    return [sa.Column(name, sa.Text()) for name in names]


def _counts(*names: str) -> list[SchemaItem]:
    def kind(name: str) -> sa.Integer:
        return sa.BigInteger() if name.endswith("tokens") else sa.Integer()

    return [sa.Column(name, kind(name), nullable=False, server_default="0") for name in names]


def _json(*names: str) -> list[SchemaItem]:
    return [sa.Column(name, JSONB(), nullable=False, server_default="{}") for name in names]


def _time(name: str, *, nullable: bool = True, default: bool = False) -> SchemaItem:
    at = sa.DateTime(timezone=True)
    return sa.Column(name, at, nullable=nullable, server_default=sa.text("now()") if default else None)


def _history() -> list[SchemaItem]:
    def actor(name: str) -> SchemaItem:
        return sa.Column(name, sa.Text(), nullable=False, server_default=sa.text(ACTOR))

    return [
        sa.Column("source", sa.Text(), nullable=False, server_default=""),
        sa.Column("version", sa.Integer(), nullable=False, server_default="1"),
        _time("created_at", nullable=False, default=True),
        actor("created_by"),
        _time("updated_at", nullable=False, default=True),
        actor("updated_by"),
        _time("deleted_at"),
        sa.Column("deleted_by", sa.Text()),
    ]


def _refers(table: str, column: str, target: str, *, cascade: bool = False) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["organization_id", column],
        [f"{_S}.{target}.organization_id", f"{_S}.{target}.id"],
        name=f"fk_{table}_organization_id_{column}",
        ondelete="CASCADE" if cascade else None,
    )


def _unique(name: str, *columns: str) -> sa.UniqueConstraint:
    return sa.UniqueConstraint("organization_id", *columns, name=name)


def _create(table: str, *columns: SchemaItem, constraints: Sequence[sa.Constraint] = ()) -> None:
    key = sa.PrimaryKeyConstraint("organization_id", "id", name=f"pk_{table}")
    op.create_table(table, *_text("organization_id", "id"), *columns, *_history(), key, *constraints, schema=_S)
    for statement in protect_statements(table):
        op.execute(statement)


def _index(table: str, *columns: str, name: str | None = None) -> None:
    given = name or f"ix_{table}_organization_id_{'_'.join(columns)}"
    op.create_index(given, table, ["organization_id", *columns], schema=_S)


def upgrade() -> None:
    """From an empty schema."""
    op.execute("CREATE EXTENSION IF NOT EXISTS vector")
    for statement in role_statements():
        op.execute(statement)
    _create_sources()
    _create_graph()
    _create_facts()
    _create_workflow()
    _create_activities()


def _create_sources() -> None:
    characters = sa.Column("characters", sa.Integer(), nullable=False)
    media_type = sa.Column("media_type", sa.Text(), nullable=False, server_default="text/plain")
    _create("document", *_text("name", "text"), media_type, characters)
    content = sa.Column("content", sa.LargeBinary(), nullable=False)
    _create(
        "ontology",
        *_text("name", "suffix"),
        content,
        *_text("digest"),
        constraints=[_unique("uq_ontology_organization_id_digest", "digest")],
    )
    payload = sa.Column("payload", sa.LargeBinary(), nullable=False)
    _create(
        "stage_result",
        *_text("key"),
        payload,
        *_text("digest"),
        constraints=[_unique("uq_stage_result_organization_id_key", "key")],
    )


def _create_graph() -> None:
    _create(
        "extraction",
        *_text("document_id", "ontology_id"),
        *_json("models", "options"),
        constraints=[
            _refers("extraction", "document_id", "document"),
            _refers("extraction", "ontology_id", "ontology"),
        ],
    )
    _index("extraction", "document_id", "ontology_id")
    _index("extraction", "ontology_id")
    _create(
        "entity",
        *_text("extraction_id", "label"),
        *(sa.Column(name, ARRAY(sa.Text()), nullable=False) for name in ("classes", "aliases")),
        constraints=[_refers("entity", "extraction_id", "extraction", cascade=True)],
    )
    _index("entity", "extraction_id")
    _create_span_table("mention", "entity_id", "entity")
    _create(
        "embedding",
        *_text("extraction_id", "entity_id", "model"),
        sa.Column("dimensions", sa.Integer(), nullable=False),
        *_text("text", "text_digest"),
        sa.Column("vector", Vector(), nullable=False),
        constraints=[
            _refers("embedding", "extraction_id", "extraction", cascade=True),
            _refers("embedding", "entity_id", "entity", cascade=True),
            _unique("uq_embedding_organization_id_entity_id_model_text_digest", "entity_id", "model", "text_digest"),
        ],
    )
    _index("embedding", "extraction_id")


def _create_span_table(table: str, owner: str, target: str, *columns: SchemaItem) -> None:
    _create(
        table,
        *_text("extraction_id", owner),
        *columns,
        *_text("chunk_id"),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in ("span_start", "span_end")),
        *_text("text", *_EXTRACTOR),
        constraints=[
            _refers(table, "extraction_id", "extraction", cascade=True),
            _refers(table, owner, target, cascade=True),
            sa.CheckConstraint("0 <= span_start AND span_start < span_end", name=f"ck_{table}_span"),
        ],
    )
    _index(table, "extraction_id")
    _index(table, owner)


def _create_facts() -> None:
    _create(
        "relation",
        *_text("extraction_id", "subject_id", "predicate"),
        *_optional_text("object_id", "literal_lexical", "literal_datatype", "literal_surface"),
        sa.Column("confidence", sa.Float(), nullable=False),
        constraints=[
            _refers("relation", "extraction_id", "extraction", cascade=True),
            _refers("relation", "subject_id", "entity", cascade=True),
            _refers("relation", "object_id", "entity", cascade=True),
            sa.CheckConstraint(
                "(object_id IS NULL) <> (literal_lexical IS NULL)"
                " AND (literal_lexical IS NULL) = (literal_datatype IS NULL)"
                " AND (literal_lexical IS NULL) = (literal_surface IS NULL)",
                name="ck_relation_object_or_literal",
            ),
        ],
    )
    for column in ("extraction_id", "subject_id", "object_id"):
        _index("relation", column)
    position = sa.Column("position", sa.Integer(), nullable=False)
    _create_span_table("relation_evidence", "relation_id", "relation", position)


def _create_workflow() -> None:
    _create(
        "workflow_execution",
        *_optional_text("flow_run_id", "document_id", "ontology_id", "extraction_id"),
        *_text("document_name"),
        *_json("parameters"),
        sa.Column("status", sa.String(32), nullable=False),
        sa.Column("stage", sa.String(32)),
        *_json("progress"),
        *_optional_text("error"),
        *_counts("resumes"),
        sa.Column("pid", sa.Integer()),
        *_optional_text("host"),
        *(_time("started_at"), _time("ended_at")),
        *_counts("chunks", "mentions", "entities", "relations", "model_calls", "cached_calls", "embedding_calls"),
        *_counts("input_tokens", "output_tokens", "failed_items", "rejected"),
        sa.Column("seconds", sa.Float(), nullable=False, server_default="0"),
        constraints=[
            _unique("uq_workflow_execution_organization_id_flow_run_id", "flow_run_id"),
            *(
                _refers("workflow_execution", f"{target}_id", target)
                for target in ("document", "ontology", "extraction")
            ),
        ],
    )
    for column in ("status", "created_at", "extraction_id", "ontology_id"):
        _index("workflow_execution", column)
    latest = "ix_workflow_execution_latest"
    _index("workflow_execution", "document_id", "ontology_id", "ended_at", name=latest)


def _create_activities() -> None:
    seconds = "(EXTRACT(epoch FROM (ended_at - started_at)))::double precision"
    _create(
        "workflow_activity",
        *_text("execution_id"),
        sa.Column("stage", sa.String(32), nullable=False),
        *_text("item"),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(32), nullable=False),
        *_optional_text("cache_key"),
        sa.Column("cache_hit", sa.Boolean(), nullable=False, server_default="false"),
        *_optional_text("error"),
        *(_time("started_at", nullable=False), _time("ended_at")),
        sa.Column("duration_seconds", sa.Float(), sa.Computed(seconds, persisted=True)),
        *_counts("model_calls", "embedding_calls", "input_tokens", "output_tokens"),
        constraints=[
            _unique("uq_workflow_activity_attempt", "execution_id", "stage", "item", "attempt"),
            _refers("workflow_activity", "execution_id", "workflow_execution", cascade=True),
        ],
    )
    _create(
        "workflow_signal",
        *_text("execution_id"),
        sa.Column("number", sa.Integer(), nullable=False),
        *_text("name"),
        *_json("payload"),
        _time("sent_at", nullable=False),
        *_text("sent_by"),
        _time("acted_at"),
        *_optional_text("outcome"),
        constraints=[
            _unique("uq_workflow_signal_organization_id_execution_id_number", "execution_id", "number"),
            _refers("workflow_signal", "execution_id", "workflow_execution", cascade=True),
        ],
    )


def downgrade() -> None:
    """To an empty schema. The role and the extension stay: others in the cluster may use them."""
    for table in (
        *("workflow_signal", "workflow_activity", "workflow_execution"),
        *("embedding", "relation_evidence", "relation", "mention", "entity", "extraction"),
        *("stage_result", "ontology", "document"),
    ):
        op.drop_table(table, schema=_S)
    op.execute(f"DROP FUNCTION {_S}.touch()")
