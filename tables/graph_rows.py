"""Graphs as rows and back: values in, values out."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import RowMapping

from knowledge.domain import (
    Entity,
    EntityEmbedding,
    Evidence,
    Extractor,
    KnowledgeGraph,
    Literal,
    Mention,
    Relation,
    Span,
)
from knowledge.ids import EmbeddingId, EntityId, RelationId, digest_of
from tables.base import OrgTable
from tables.graph import EmbeddingRow, EntityRow, EvidenceRow, MentionRow, RelationRow
from tables.storable import storable_text

Row = dict[str, object]
_Fact = tuple[str, str, str | None]
# Parents before children: rows are written in this order and removed in the opposite one.
GRAPH_TABLES: tuple[type[OrgTable], ...] = (EntityRow, MentionRow, RelationRow, EvidenceRow, EmbeddingRow)


def rows_of(graph: KnowledgeGraph) -> Mapping[type[OrgTable], list[Row]]:
    """The graph's own columns for each table in `GRAPH_TABLES`; those that all rows share are left out.

    Texts that a model wrote may hold characters that PostgreSQL cannot; those come out as U+FFFD.
    """
    facts = _facts(graph)
    return {
        EntityRow: [_entity_row(entity, facts[entity.id]) for entity in graph.entities],
        MentionRow: [_mention_row(mention) for mention in graph.mentions],
        RelationRow: [_relation_row(relation) for relation in graph.relations],
        EvidenceRow: [row for relation in graph.relations for row in _evidence_rows(relation)],
        EmbeddingRow: [_embedding_row(embedding) for embedding in graph.embeddings],
    }


def _facts(graph: KnowledgeGraph) -> Mapping[EntityId, set[_Fact]]:
    labels = {entity.id: storable_text(entity.label) for entity in graph.entities}
    facts: defaultdict[EntityId, set[_Fact]] = defaultdict(set)
    for relation in graph.relations:
        if relation.literal is not None:
            value, datatype = storable_text(relation.literal.lexical), relation.literal.datatype
            facts[relation.subject_id].add((relation.predicate, value, datatype))
        elif relation.object_id is not None:
            facts[relation.subject_id].add((relation.predicate, labels[relation.object_id], None))
            facts[relation.object_id].add((f"^{relation.predicate}", labels[relation.subject_id], None))
    return facts


def _entity_row(entity: Entity, facts: Iterable[_Fact]) -> Row:
    return {
        "id": entity.id,
        "label": storable_text(entity.label),
        "classes": list(entity.classes),
        "aliases": [storable_text(alias) for alias in entity.aliases],
        "facts": sorted(facts, key=lambda fact: (*fact[:2], fact[2] or "")),
    }


def _mention_row(mention: Mention) -> Row:
    return {"id": mention.id, "entity_id": mention.entity_id, **_place(mention)}


def _place(found: Mention | Evidence) -> Row:
    extractor = found.extractor
    return {
        "chunk_id": found.chunk_id,
        "span_start": found.span.start,
        "span_end": found.span.end,
        "text": found.text,
        "extractor_name": extractor.name,
        "extractor_model": extractor.model,
        "extractor_prompt": extractor.prompt,
        "extractor_settings": extractor.settings,
    }


def _relation_row(relation: Relation) -> Row:
    literal = relation.literal
    return {
        "id": relation.id,
        "subject_id": relation.subject_id,
        "predicate": relation.predicate,
        "object_id": relation.object_id,
        "literal_lexical": literal and storable_text(literal.lexical),
        "literal_datatype": literal and literal.datatype,
        "literal_surface": literal and storable_text(literal.surface),
        "confidence": relation.confidence,
        "flags": list(relation.flags),
    }


def _evidence_rows(relation: Relation) -> Iterable[Row]:
    for position, evidence in enumerate(relation.evidence):
        yield {"id": evidence.id, "relation_id": relation.id, "position": position, **_place(evidence)}


def _embedding_row(embedding: EntityEmbedding) -> Row:
    text = storable_text(embedding.text)
    return {
        "id": EmbeddingId.derive(embedding.entity_id, embedding.model, text),
        "entity_id": embedding.entity_id,
        "model": embedding.model,
        "dimensions": len(embedding.vector),
        "text": text,
        "text_digest": digest_of(text),
        "vector": embedding.vector,
    }


def entity_of(row: RowMapping) -> Entity:
    """The entity of an `entity` row."""
    return Entity(row["id"], row["label"], row["classes"], row["aliases"])


def mention_of(row: RowMapping) -> Mention:
    """The mention of a `mention` row."""
    return Mention(row["id"], _span(row), row["text"], row["entity_id"], row["chunk_id"], _extractor(row))


def evidence_of(row: RowMapping) -> Evidence:
    """The evidence of a `relation_evidence` row."""
    return Evidence(row["id"], _span(row), row["text"], row["chunk_id"], _extractor(row))


def relation_of(row: RowMapping, evidence: Mapping[RelationId, list[Evidence]]) -> Relation:
    """The relation of a `relation` row; `evidence` holds that of each relation, in order of position."""
    literal = None
    if row["literal_lexical"] is not None:
        literal = Literal(row["literal_lexical"], row["literal_datatype"], row["literal_surface"])
    return Relation(
        id=row["id"],
        subject_id=row["subject_id"],
        predicate=row["predicate"],
        object_id=row["object_id"],
        literal=literal,
        confidence=row["confidence"],
        evidence=tuple(evidence.get(row["id"], ())),
        flags=row["flags"],
    )


def embedding_of(row: RowMapping) -> EntityEmbedding:
    """The embedding of an `embedding` row."""
    return EntityEmbedding(row["entity_id"], row["model"], row["text"], row["vector"])


def _span(row: Mapping[Any, Any]) -> Span:
    return Span(row["span_start"], row["span_end"])


def _extractor(row: Mapping[Any, Any]) -> Extractor:
    return Extractor(row["extractor_name"], row["extractor_model"], row["extractor_prompt"], row["extractor_settings"])
