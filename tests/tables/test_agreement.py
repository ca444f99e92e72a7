"""Domain types and tables agree, column by column."""

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Union, get_args, get_origin, get_type_hints

import pytest
from sqlalchemy import ARRAY, Boolean, Column, DateTime, Enum, Float, Integer, LargeBinary, Text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.types import TypeEngine

from knowledge.batches import Batch, BatchDocument
from knowledge.domain import (
    Document,
    Entity,
    EntityEmbedding,
    Evidence,
    Mention,
    Relation,
    WorkflowExecutionState,
)
from knowledge.ids import Id
from knowledge.linking import EntityLink
from knowledge.progress import ProgressEvent
from knowledge.signals import Signal
from tables.activities import ActivityRecord
from tables.base import IdType, NameType, OrgTable, VectorType, table_of
from tables.batch import WorkflowBatch, WorkflowBatchDocument
from tables.documents import OntologySource
from tables.graph import DocumentRow, EmbeddingRow, EntityRow, EvidenceRow, MentionRow, OntologyRow, RelationRow
from tables.links import EntityLinkRow
from tables.workflow import ProgressEventRow, WorkflowActivity, WorkflowExecution, WorkflowSignal

# Nested values lie in columns `<field>_<part>`, except for these, whose parts keep their own names.
UNPREFIXED = {"statistics", "usage"}
EXTRACTION = {"extraction_id"}
SHARED = {column.name for column in OrgTable.metadata.tables["knowledge.document"].columns} & {
    column.name for column in OrgTable.metadata.tables["knowledge.entity"].columns
} - {"id"}

# Domain type, table, columns that only the table has, fields that live elsewhere.
AGREEMENTS: list[tuple[type, type[OrgTable], set[str], set[str]]] = [
    (Document, DocumentRow, {"media_type", "characters"}, set()),
    (OntologySource, OntologyRow, set(), set()),
    (Entity, EntityRow, EXTRACTION | {"facts"}, set()),
    (Mention, MentionRow, EXTRACTION, set()),
    (Relation, RelationRow, EXTRACTION, {"evidence"}),
    (Evidence, EvidenceRow, EXTRACTION | {"relation_id", "position"}, set()),
    (EntityEmbedding, EmbeddingRow, EXTRACTION | {"id", "dimensions", "text_digest"}, set()),
    (WorkflowExecutionState, WorkflowExecution, {"parameters", "progress", "last_event"}, set()),
    (ActivityRecord, WorkflowActivity, {"duration_seconds"}, set()),
    (Signal, WorkflowSignal, set(), set()),
    (ProgressEvent, ProgressEventRow, {"id"}, set()),
    (EntityLink, EntityLinkRow, {"decided_by"}, set()),
    (Batch, WorkflowBatch, set(), set()),
    (BatchDocument, WorkflowBatchDocument, set(), set()),
]


Columns = dict[str, tuple[Any, bool]]


def flattened(domain: type, elsewhere: set[str], prefix: str = "", optional: bool = False) -> Columns:
    """Column name -> (plain type, whether it may be null), for every field of a domain type."""
    hints = get_type_hints(domain)
    found: Columns = {}
    for field in fields(domain):
        if field.name in elsewhere:
            continue
        kind, nullable = without_none(hints[field.name])
        if is_dataclass(kind) and isinstance(kind, type):
            inner = prefix if field.name in UNPREFIXED else f"{prefix}{field.name}_"
            found |= flattened(kind, set(), inner, optional or nullable)
        else:
            found[prefix + field.name] = (kind, optional or nullable)
    return found


def without_none(hint: Any) -> tuple[Any, bool]:
    """The type that is not None, and whether None is allowed beside it."""
    if get_origin(hint) not in {Union, types.UnionType}:
        return hint, False
    (kind,) = (part for part in get_args(hint) if part is not types.NoneType)
    return kind, True


def holds(column: TypeEngine[Any], kind: Any) -> bool:
    """Whether a column of this SQL type holds values of this Python type, and no others."""
    if isinstance(column, IdType):
        return column.kind is kind
    if isinstance(kind, type) and issubclass(kind, Id):
        return False
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return isinstance(column, Enum | NameType) and column.enum_class is kind
    expected: dict[Any, type[TypeEngine[Any]]] = {
        str: Text,
        int: Integer,
        float: Float,
        bool: Boolean,
        bytes: LargeBinary,
        datetime: DateTime,
        tuple[str, ...]: ARRAY,
        tuple[float, ...]: VectorType,
        Mapping[str, object]: JSONB,
    }
    return isinstance(column, expected[kind])


@pytest.mark.parametrize(("domain", "model", "only_table", "elsewhere"), AGREEMENTS)
def test_every_field_has_its_column_and_every_column_its_field(
    domain: type, model: type[OrgTable], only_table: set[str], elsewhere: set[str]
) -> None:
    """A field added to the domain, or a column to a table, is kept on both sides or left out on purpose."""
    expected = flattened(domain, elsewhere)
    columns = {column.name for column in table_of(model).columns}
    assert set(expected) - columns == set()
    assert columns - set(expected) - SHARED == only_table


@pytest.mark.parametrize(("domain", "model", "only_table", "elsewhere"), AGREEMENTS)
def test_columns_have_their_fields_types_and_nullability(
    domain: type, model: type[OrgTable], only_table: set[str], elsewhere: set[str]
) -> None:
    """What the type checker promises about a value is what the database enforces."""
    table = table_of(model)
    for name, (kind, nullable) in flattened(domain, elsewhere).items():
        column: Column[Any] = table.c[name]
        assert holds(column.type, kind), f"{table.name}.{name} is {column.type!r} for {kind}"
        assert column.nullable == nullable, f"{table.name}.{name}"


@pytest.mark.parametrize("table", OrgTable.metadata.sorted_tables, ids=lambda table: table.name)
def test_the_organisation_leads_every_key_and_index(table: Any) -> None:
    """A tenant's queries never walk through other tenants' rows, and keys never collide between tenants."""
    assert [column.name for column in table.primary_key.columns] == ["organization_id", "id"]
    for listed in (*table.indexes, *table.constraints):
        names = [column.name for column in getattr(listed, "columns", ())]
        if names and type(listed).__name__ != "CheckConstraint":
            assert names[0] == "organization_id", listed.name
    assert isinstance(table.c.id.type, IdType)
    assert not table.c.organization_id.nullable
