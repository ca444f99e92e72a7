"""Rows of a graph refer to rows of their own extraction, by one key and one index each."""

from collections.abc import Sequence
from typing import NamedTuple

from alembic import op

revision: str = "0010"
down_revision: str | None = "0009"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

_S = "knowledge"
_ORG, _EXTRACTION = "organization_id", "extraction_id"
_WHOLE = (_ORG, _EXTRACTION, "id")
_TEXT_KEY = "uq_embedding_organization_id_entity_id_model_text_digest"


class _Reference(NamedTuple):
    table: str
    column: str
    target: str
    is_indexed: bool
    """Whether the index that leads to the rows of a target becomes one that leads to those of an extraction, too."""


_REFERENCES = (
    _Reference("mention", "entity_id", "entity", True),
    _Reference("relation", "subject_id", "entity", False),
    _Reference("relation", "object_id", "entity", False),
    _Reference("relation_evidence", "relation_id", "relation", True),
    _Reference("embedding", "entity_id", "entity", False),
    _Reference("entity_name", "entity_id", "entity", True),
)
_TARGETS = ("entity", "relation")
_OF_EXTRACTION = ("mention", "relation", "relation_evidence", "embedding")


def upgrade() -> None:
    """Names say whose extraction's they are; those of what has been retracted are marked as it is."""
    op.execute(f"ALTER TABLE {_S}.entity_name ADD COLUMN extraction_id text")
    _with_all_rows(
        f"UPDATE {_S}.entity_name n SET extraction_id = e.extraction_id, deleted_at = e.deleted_at, "
        f"deleted_by = e.deleted_by FROM {_S}.entity e "
        "WHERE e.organization_id = n.organization_id AND e.id = n.entity_id",
        "entity_name",
        "entity",
    )
    op.alter_column("entity_name", _EXTRACTION, nullable=False, schema=_S)
    for table in _TARGETS:
        op.create_unique_constraint(f"uq_{table}_{'_'.join(_WHOLE)}", table, _WHOLE, schema=_S)
    for each in _REFERENCES:
        op.drop_constraint(_key(each.table, each.column), each.table, type_="foreignkey", schema=_S)
        _refer(each, (_ORG, _EXTRACTION, each.column), _WHOLE)
        if each.is_indexed:
            _index(each.table, _EXTRACTION, each.column)
            _drop_index(each.table, each.column)
    op.create_unique_constraint(
        "uq_embedding_text", "embedding", (_ORG, _EXTRACTION, "entity_id", "model", "text_digest"), schema=_S
    )
    op.drop_constraint(_TEXT_KEY, "embedding", type_="unique", schema=_S)
    for table in _OF_EXTRACTION:
        op.drop_constraint(_key(table, _EXTRACTION), table, type_="foreignkey", schema=_S)
        _drop_index(table, _EXTRACTION)
    _drop_index("entity", _EXTRACTION)


def downgrade() -> None:
    """Two keys and two indexes each, and names without extraction."""
    _index("entity", _EXTRACTION)
    for table in _OF_EXTRACTION:
        _refer(_Reference(table, _EXTRACTION, "extraction", False), (_ORG, _EXTRACTION), (_ORG, "id"))
        _index(table, _EXTRACTION)
    op.create_unique_constraint(_TEXT_KEY, "embedding", (_ORG, "entity_id", "model", "text_digest"), schema=_S)
    op.drop_constraint("uq_embedding_text", "embedding", type_="unique", schema=_S)
    for each in _REFERENCES:
        op.drop_constraint(_key(each.table, _EXTRACTION, each.column), each.table, type_="foreignkey", schema=_S)
        _refer(each, (_ORG, each.column), (_ORG, "id"))
        if each.is_indexed:
            _index(each.table, each.column)
            _drop_index(each.table, _EXTRACTION, each.column)
    for table in _TARGETS:
        op.drop_constraint(f"uq_{table}_{'_'.join(_WHOLE)}", table, type_="unique", schema=_S)
    op.drop_column("entity_name", _EXTRACTION, schema=_S)
    _with_all_rows(f"UPDATE {_S}.entity_name SET deleted_at = NULL, deleted_by = NULL", "entity_name")


def _with_all_rows(statement: str, *tables: str) -> None:
    """Runs a statement on the rows of all organisations, which the owner does not see either while it is forced."""
    for table in tables:
        op.execute(f"ALTER TABLE {_S}.{table} NO FORCE ROW LEVEL SECURITY")
    op.execute(statement)
    for table in tables:
        op.execute(f"ALTER TABLE {_S}.{table} FORCE ROW LEVEL SECURITY")


def _key(table: str, *columns: str) -> str:
    return f"fk_{table}_{_ORG}_{'_'.join(columns)}"


def _refer(each: _Reference, columns: Sequence[str], to: Sequence[str]) -> None:
    op.create_foreign_key(
        f"fk_{each.table}_{'_'.join(columns)}",
        each.table,
        each.target,
        list(columns),
        list(to),
        source_schema=_S,
        referent_schema=_S,
        ondelete="CASCADE",
    )


def _index(table: str, *columns: str) -> None:
    op.create_index(f"ix_{table}_{_ORG}_{'_'.join(columns)}", table, [_ORG, *columns], schema=_S)


def _drop_index(table: str, *columns: str) -> None:
    op.drop_index(f"ix_{table}_{_ORG}_{'_'.join(columns)}", table, schema=_S)
