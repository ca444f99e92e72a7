"""The tables of the search index: what can be found in an organisation's latest graphs, and by which words and vectors.

A segment is an extraction's part of the index under one embedding model. All of it follows from the published graph,
and goes with the extraction.
"""

from sqlalchemy import Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from knowledge.ids import EntryId, ExecutionId, ExtractionId, SegmentId, TermId
from knowledge.search.kinds import EntryKind, TermKind
from tables.base import OrgTable, within_organization

VECTOR_INDEX_PREFIX = "hnsw_search_entry_"
VECTOR_INDEX_DIMENSIONS = (256, 384, 512, 768, 1024, 1536, 2048, 3072)
"""Entities and passages with vectors of these dimensions have HNSW indexes; others are searched one by one."""


class SegmentRow(OrgTable):
    """An extraction that is indexed under a model, as the execution published it; `entities` and `passages` count.

    Until it is `complete`, entries come in with each batch of vectors, so that none is asked for twice.
    """

    __tablename__ = "search_segment"
    __table_args__ = (
        within_organization("extraction_id", "extraction", cascade=True),
        UniqueConstraint("organization_id", "extraction_id", "model"),
    )

    id: Mapped[SegmentId] = mapped_column(primary_key=True)
    extraction_id: Mapped[ExtractionId]
    execution_id: Mapped[ExecutionId]
    model: Mapped[str]
    dimensions: Mapped[int]
    entities: Mapped[int]
    passages: Mapped[int]
    complete: Mapped[bool] = mapped_column(server_default="false")


class EntryRow(OrgTable):
    """Something that can be found. `targets`: an entity's id, a passage's relations, or a predicate's IRI.

    `span_start` and `span_end` are a passage's place in its document: code points, half-open.
    """

    __tablename__ = "search_entry"
    __table_args__ = (
        within_organization("segment_id", "search_segment", cascade=True),
        UniqueConstraint("organization_id", "segment_id", "position"),
        Index(None, "organization_id", "model", "kind"),
        Index(None, "organization_id", "text_digest"),
    )

    id: Mapped[EntryId] = mapped_column(primary_key=True)
    segment_id: Mapped[SegmentId]
    position: Mapped[int]
    kind: Mapped[EntryKind]
    text: Mapped[str]
    text_digest: Mapped[str]
    targets: Mapped[tuple[str, ...]]
    span_start: Mapped[int | None]
    span_end: Mapped[int | None]
    model: Mapped[str]
    dimensions: Mapped[int]
    vector: Mapped[tuple[float, ...]]


class TermRow(OrgTable):
    """A word or a whole name, and the positions of the segment's entries that have it.

    Row security lets no GIN index be used (its operators are not leakproof); equality of texts is.
    """

    __tablename__ = "search_term"
    __table_args__ = (
        within_organization("segment_id", "search_segment", cascade=True),
        Index(None, "organization_id", "term", "kind"),
        Index(None, "organization_id", "segment_id"),
    )

    id: Mapped[TermId] = mapped_column(primary_key=True)
    segment_id: Mapped[SegmentId]
    kind: Mapped[TermKind]
    term: Mapped[str]
    positions: Mapped[tuple[int, ...]]
