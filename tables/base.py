"""What every table has in common: a branded id, its organisation, who changed a row when, and where it came from."""

from array import array
from datetime import datetime
from enum import StrEnum
from typing import ClassVar, cast

from pgvector.sqlalchemy import Vector
from sqlalchemy import ARRAY, DateTime, Enum, ForeignKeyConstraint, Integer, MetaData, Table, Text, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator

from knowledge import ids
from knowledge.batches import DocumentState, FailurePolicy
from knowledge.domain import ActivityStatus, ExecutionStatus, Stage
from knowledge.linking import LinkStatus
from knowledge.search.kinds import EntryKind, TermKind
from knowledge.signals import SignalName

SCHEMA = "knowledge"
ACTOR = "coalesce(nullif(current_setting('app.actor', true), ''), session_user)"
_FIRST, _LAST = -100, 100


class IdType(TypeDecorator[ids.Id]):
    """Text in the database, one kind of id outside of it; validated in both directions.

    Raises:
        InvalidId: on the way in or out, for a text that is not an id of this kind.
    """

    impl = Text
    cache_ok = True

    def __init__(self, kind: type[ids.Id]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: ids.Id | str | None, dialect: Dialect) -> str | None:
        return None if value is None else str(self.kind(value))

    def process_result_value(self, value: str | None, dialect: Dialect) -> ids.Id | None:
        return None if value is None else self.kind(value)


class NameType(TypeDecorator[StrEnum]):
    """Text in the database, a member of an enumeration outside of it."""

    impl = Text
    cache_ok = True

    def __init__(self, enum_class: type[StrEnum]) -> None:
        super().__init__()
        self.enum_class = enum_class

    def process_bind_param(self, value: StrEnum | str | None, dialect: Dialect) -> str | None:
        return None if value is None else self.enum_class(value).value

    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:
        return None if value is None else self.enum_class(value)


class VectorType(TypeDecorator[tuple[float, ...]]):
    """A pgvector of any dimension (at least 1), kept as 4-byte floats: what is read are exactly those."""

    impl = Vector
    cache_ok = True

    def process_bind_param(self, value: tuple[float, ...] | None, dialect: Dialect) -> list[float] | None:
        return None if value is None else list(value)

    def process_result_value(self, value: list[float] | None, dialect: Dialect) -> tuple[float, ...] | None:
        return None if value is None else tuple(array("f", value))


def _values(members: type[StrEnum]) -> list[str]:
    return [member.value for member in members]


def _enum(kind: type[StrEnum]) -> Enum:
    return Enum(kind, native_enum=False, length=32, values_callable=_values)


_ID_KINDS = (
    ids.OrganizationId,
    ids.FlowRunId,
    ids.DocumentId,
    ids.OntologyId,
    ids.ChunkId,
    ids.ExtractionId,
    ids.MentionId,
    ids.EntityId,
    ids.RelationId,
    ids.EvidenceId,
    ids.EmbeddingId,
    ids.EntityNameId,
    ids.LinkId,
    ids.ExecutionId,
    ids.ActivityId,
    ids.SignalId,
    ids.ProgressEventId,
    ids.TokenId,
    ids.ResultId,
    ids.SegmentId,
    ids.EntryId,
    ids.TermId,
    ids.BatchId,
    ids.BatchDocumentId,
)


class OrgTable(DeclarativeBase):
    """A row of an organisation.

    The primary key is `(organization_id, id)`, so the organisation leads every key and index and two
    organisations' rows never collide. The database itself sets the `updated_…` columns and counts `version`
    at each change; `source` says what the row came from, e.g. the execution that published it.
    """

    metadata = MetaData(
        schema=SCHEMA,
        naming_convention={
            "pk": "pk_%(table_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
        },
    )
    type_annotation_map: ClassVar[dict[object, object]] = {
        **{kind: IdType(kind) for kind in _ID_KINDS},
        **{kind: _enum(kind) for kind in (Stage, ExecutionStatus, ActivityStatus)},
        SignalName: NameType(SignalName),
        EntryKind: NameType(EntryKind),
        TermKind: NameType(TermKind),
        LinkStatus: NameType(LinkStatus),
        DocumentState: NameType(DocumentState),
        FailurePolicy: NameType(FailurePolicy),
        str: Text(),
        datetime: DateTime(timezone=True),
        dict[str, object]: JSONB(),
        list[list[str | None]]: JSONB(),
        tuple[str, ...]: ARRAY(Text(), as_tuple=True),
        tuple[int, ...]: ARRAY(Integer(), as_tuple=True),
        tuple[float, ...]: VectorType(),
    }

    organization_id: Mapped[ids.OrganizationId] = mapped_column(primary_key=True, sort_order=_FIRST)
    source: Mapped[str] = mapped_column(server_default="", sort_order=_LAST)
    version: Mapped[int] = mapped_column(server_default="1", sort_order=_LAST)
    created_at: Mapped[datetime] = mapped_column(server_default=text("now()"), sort_order=_LAST)
    created_by: Mapped[str] = mapped_column(server_default=text(ACTOR), sort_order=_LAST)
    updated_at: Mapped[datetime] = mapped_column(server_default=text("now()"), sort_order=_LAST)
    updated_by: Mapped[str] = mapped_column(server_default=text(ACTOR), sort_order=_LAST)
    deleted_at: Mapped[datetime | None] = mapped_column(sort_order=_LAST)
    deleted_by: Mapped[str | None] = mapped_column(sort_order=_LAST)


class InstallationTable(DeclarativeBase):
    """A row of the whole installation: nothing in it comes from, or tells about, an organisation."""

    metadata = MetaData(schema=SCHEMA, naming_convention=OrgTable.metadata.naming_convention)
    type_annotation_map: ClassVar[dict[object, object]] = {str: Text(), datetime: DateTime(timezone=True)}


def table_of(model: type[OrgTable] | type[InstallationTable]) -> Table:
    """The table behind a model, for statements over many rows."""
    return cast(Table, model.__table__)


def within_organization(column: str, target: str, *, cascade: bool = False) -> ForeignKeyConstraint:
    """A foreign key to `target`'s primary key that cannot leave the row's organisation."""
    return ForeignKeyConstraint(
        ["organization_id", column],
        [f"{SCHEMA}.{target}.organization_id", f"{SCHEMA}.{target}.id"],
        ondelete="CASCADE" if cascade else None,
    )


def within_extraction(column: str, target: str) -> ForeignKeyConstraint:
    """A foreign key to a row of `target` that cannot leave the row's extraction; the row goes with the other."""
    return ForeignKeyConstraint(
        ["organization_id", "extraction_id", column],
        [f"{SCHEMA}.{target}.{name}" for name in ("organization_id", "extraction_id", "id")],
        ondelete="CASCADE",
    )
