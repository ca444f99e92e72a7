"""Graphs and mentions as JSON lines. Offsets are code points into the document's text, half-open."""

import json
from collections.abc import Iterable, Iterator, Mapping
from functools import cache

from knowledge.domain import Entity, Relation
from knowledge.exports.graph_export import GraphExport
from knowledge.ids import EntityId


def export_jsonl(exports: Iterable[GraphExport]) -> Iterator[str]:
    """The lines of `graph.jsonl`, without line ends: each graph's entities, then its triples, sorted by id."""
    for export in exports:
        entities = {entity.id: entity for entity in export.graph.entities}
        class_label, property_label = cache(export.class_label), cache(export.property_label)
        for entity in sorted(export.graph.entities, key=lambda item: item.id):
            labels = [class_label(iri) for iri in entity.classes]
            yield _line({"doc_id": export.document.name, **_entity(entity, labels)})
        for relation in sorted(export.graph.relations, key=lambda item: item.id):
            types = {
                key: class_label(entities[end].classes[0])
                for key, end in (("subject_type", relation.subject_id), ("object_type", relation.object_id))
                if end is not None and entities[end].classes
            }
            triple = _triple(relation, property_label(relation.predicate), entities, types)
            yield _line({"doc_id": export.document.name, **triple})


def mentions_jsonl(exports: Iterable[GraphExport]) -> Iterator[str]:
    """The lines of `mentions.jsonl`, without line ends, in order of appearance."""
    for export in exports:
        for mention in sorted(export.graph.mentions, key=lambda item: (item.span, item.id)):
            yield _line(
                {
                    "doc_id": export.document.name,
                    "start": mention.span.start,
                    "end": mention.span.end,
                    "text": mention.text,
                    "entity": mention.entity_id,
                }
            )


def _entity(entity: Entity, labels: list[str]) -> dict[str, object]:
    return {
        "id": entity.id,
        "label": entity.label,
        "type": labels[0] if labels else None,
        "types": labels,
        "type_iris": entity.classes,
        "aliases": entity.aliases,
    }


def _triple(
    relation: Relation, predicate: str, entities: Mapping[EntityId, Entity], types: Mapping[str, str]
) -> dict[str, object]:
    return {
        "subject": entities[relation.subject_id].label,
        "subject_id": relation.subject_id,
        "predicate": predicate,
        "predicate_iri": relation.predicate,
        **_object(relation, entities),
        "subject_type": types.get("subject_type"),
        "object_type": types.get("object_type"),
        "confidence": relation.confidence,
        **({"flags": relation.flags} if relation.flags else {}),
        "evidence": [
            {"start": evidence.span.start, "end": evidence.span.end, "text": evidence.text}
            for evidence in sorted(relation.evidence, key=lambda item: (item.span, item.id))
        ],
    }


def _object(relation: Relation, entities: Mapping[EntityId, Entity]) -> dict[str, object]:
    if relation.object_id is not None:
        return {"object": entities[relation.object_id].label, "object_id": relation.object_id}
    literal = relation.literal
    assert literal is not None
    return {
        "object": literal.surface,
        "is_literal": True,
        "datatype": literal.datatype,
        "lexical": literal.lexical,
    }


def _line(value: Mapping[str, object]) -> str:
    return json.dumps(value, ensure_ascii=False)
