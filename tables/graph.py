"""The tables of what goes in (documents, ontologies), what models answered, and what comes out (graphs).

Rows of a graph belong to one extraction, from which their ids derive, and refer only to rows of the same.
Spans are code points into the document's text, half-open.
"""

from sqlalchemy import CheckConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from knowledge.ids import (
    ChunkId,
    DocumentId,
    EmbeddingId,
    EntityId,
    EvidenceId,
    ExtractionId,
    MentionId,
    OntologyId,
    RelationId,
    ResultId,
)
from tables.base import OrgTable, within_extraction, within_organization


class DocumentRow(OrgTable):
    """A text, once for each organisation; `name` is the first one it came under."""

    __tablename__ = "document"

    id: Mapped[DocumentId] = mapped_column(primary_key=True)
    name: Mapped[str]
    text: Mapped[str]
    media_type: Mapped[str] = mapped_column(server_default="text/plain")
    characters: Mapped[int]


class OntologyRow(OrgTable):
    """An ontology's source as it was given; `digest` is that of its meaning, `suffix` names its syntax."""

    __tablename__ = "ontology"
    __table_args__ = (UniqueConstraint("organization_id", "digest"),)

    id: Mapped[OntologyId] = mapped_column(primary_key=True)
    name: Mapped[str]
    suffix: Mapped[str]
    content: Mapped[bytes]
    digest: Mapped[str]


class ExtractionRow(OrgTable):
    """A document read with an ontology by certain models with certain options."""

    __tablename__ = "extraction"
    __table_args__ = (
        within_organization("document_id", "document"),
        within_organization("ontology_id", "ontology"),
        Index(None, "organization_id", "document_id", "ontology_id"),
        Index(None, "organization_id", "ontology_id"),
    )

    id: Mapped[ExtractionId] = mapped_column(primary_key=True)
    document_id: Mapped[DocumentId]
    ontology_id: Mapped[OntologyId]
    models: Mapped[dict[str, object]] = mapped_column(server_default="{}")
    options: Mapped[dict[str, object]] = mapped_column(server_default="{}")


class EntityRow(OrgTable):
    """A thing that an extraction found; `classes` are IRIs, the most telling first.

    `facts` are what the graph's relations say of it, in order: predicate (with a caret before it where the thing is the
    object), the other end's label and null, or the literal's lexical form and its datatype.
    """

    __tablename__ = "entity"
    __table_args__ = (
        within_organization("extraction_id", "extraction", cascade=True),
        UniqueConstraint("organization_id", "extraction_id", "id"),
    )

    id: Mapped[EntityId] = mapped_column(primary_key=True)
    extraction_id: Mapped[ExtractionId]
    label: Mapped[str]
    classes: Mapped[tuple[str, ...]]
    aliases: Mapped[tuple[str, ...]]
    facts: Mapped[list[list[str | None]]] = mapped_column(server_default="[]")


class MentionRow(OrgTable):
    """A place in the document that names an entity, and who found it."""

    __tablename__ = "mention"
    __table_args__ = (
        within_extraction("entity_id", "entity"),
        CheckConstraint("0 <= span_start AND span_start < span_end", name="span"),
        Index(None, "organization_id", "extraction_id", "entity_id"),
    )

    id: Mapped[MentionId] = mapped_column(primary_key=True)
    extraction_id: Mapped[ExtractionId]
    entity_id: Mapped[EntityId]
    chunk_id: Mapped[ChunkId]
    span_start: Mapped[int]
    span_end: Mapped[int]
    text: Mapped[str]
    extractor_name: Mapped[str]
    extractor_model: Mapped[str]
    extractor_prompt: Mapped[str]
    extractor_settings: Mapped[str]


class RelationRow(OrgTable):
    """A fact: a predicate (IRI) from an entity to another one or to a literal."""

    __tablename__ = "relation"
    __table_args__ = (
        within_extraction("subject_id", "entity"),
        within_extraction("object_id", "entity"),
        CheckConstraint(
            "(object_id IS NULL) <> (literal_lexical IS NULL)"
            " AND (literal_lexical IS NULL) = (literal_datatype IS NULL)"
            " AND (literal_lexical IS NULL) = (literal_surface IS NULL)",
            name="object_or_literal",
        ),
        UniqueConstraint("organization_id", "extraction_id", "id"),
        Index(None, "organization_id", "subject_id"),
        Index(None, "organization_id", "object_id"),
    )

    id: Mapped[RelationId] = mapped_column(primary_key=True)
    extraction_id: Mapped[ExtractionId]
    subject_id: Mapped[EntityId]
    predicate: Mapped[str]
    object_id: Mapped[EntityId | None]
    literal_lexical: Mapped[str | None]
    literal_datatype: Mapped[str | None]
    literal_surface: Mapped[str | None]
    confidence: Mapped[float]
    flags: Mapped[tuple[str, ...]] = mapped_column(server_default="{}")


class EvidenceRow(OrgTable):
    """A span of the document that states a relation, its place among the relation's evidence, who found it."""

    __tablename__ = "relation_evidence"
    __table_args__ = (
        within_extraction("relation_id", "relation"),
        CheckConstraint("0 <= span_start AND span_start < span_end", name="span"),
        Index(None, "organization_id", "extraction_id", "relation_id"),
    )

    id: Mapped[EvidenceId] = mapped_column(primary_key=True)
    extraction_id: Mapped[ExtractionId]
    relation_id: Mapped[RelationId]
    position: Mapped[int]
    chunk_id: Mapped[ChunkId]
    span_start: Mapped[int]
    span_end: Mapped[int]
    text: Mapped[str]
    extractor_name: Mapped[str]
    extractor_model: Mapped[str]
    extractor_prompt: Mapped[str]
    extractor_settings: Mapped[str]


class EmbeddingRow(OrgTable):
    """An entity's vector (L2-normalised, `dimensions` 4-byte floats) under a model, and the text it stands for."""

    __tablename__ = "embedding"
    __table_args__ = (
        within_extraction("entity_id", "entity"),
        UniqueConstraint(
            "organization_id", "extraction_id", "entity_id", "model", "text_digest", name="uq_embedding_text"
        ),
    )

    id: Mapped[EmbeddingId] = mapped_column(primary_key=True)
    extraction_id: Mapped[ExtractionId]
    entity_id: Mapped[EntityId]
    model: Mapped[str]
    dimensions: Mapped[int]
    text: Mapped[str]
    text_digest: Mapped[str]
    vector: Mapped[tuple[float, ...]]


class StageResult(OrgTable):
    """A stage's stored answer under its cache key, which is unique within the organisation."""

    __tablename__ = "stage_result"
    __table_args__ = (UniqueConstraint("organization_id", "key"),)

    id: Mapped[ResultId] = mapped_column(primary_key=True)
    key: Mapped[str]
    payload: Mapped[bytes]
    digest: Mapped[str]
