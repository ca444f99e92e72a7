"""Which facts do not fit their predicate's domain or range: they are flagged, and left out only when asked for."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from knowledge.domain import Entity, KnowledgeGraph, Relation
from knowledge.findings import Rejection
from knowledge.ids import EntityId
from knowledge.literals import fits
from knowledge.ontology import Ontology, PropertyKind

OUTSIDE_DOMAIN = "outside domain"
OUTSIDE_RANGE = "outside range"


def flag_violations(graph: KnowledgeGraph, ontology: Ontology) -> KnowledgeGraph:
    """The graph with `flags` on each relation whose ends contradict the ontology.

    An end fits if one of its classes is one of the predicate's, or lies above or below one; an end of unknown class
    and a predicate without domain or range contradict nothing. A literal fits if it is of one of the datatypes.
    """
    entities = {entity.id: entity for entity in graph.entities}
    return replace(graph, relations=tuple(_flagged(relation, entities, ontology) for relation in graph.relations))


def without_violations(graph: KnowledgeGraph) -> tuple[KnowledgeGraph, tuple[Rejection, ...]]:
    """The graph without its flagged relations, and what was left out."""
    labels = {entity.id: entity.label for entity in graph.entities}
    kept = tuple(relation for relation in graph.relations if not relation.flags)
    rejections = tuple(
        Rejection(f"is {' and '.join(relation.flags)}", _shown(relation, labels))
        for relation in graph.relations
        if relation.flags
    )
    return replace(graph, relations=kept), rejections


def _shown(relation: Relation, labels: Mapping[EntityId, str]) -> str:
    target = relation.literal.surface if relation.literal else labels[relation.object_id or relation.subject_id]
    return f"{labels[relation.subject_id]} {relation.predicate} {target}"


def _flagged(relation: Relation, entities: Mapping[EntityId, Entity], ontology: Ontology) -> Relation:
    predicate = ontology.get_property(relation.predicate)
    if predicate is None:
        return relation
    flags: list[str] = []
    if not _fits(entities[relation.subject_id].classes, ontology.effective_domains(predicate), ontology):
        flags.append(OUTSIDE_DOMAIN)
    ranges = ontology.effective_ranges(predicate)
    if relation.literal is not None:
        in_range = predicate.kind is PropertyKind.DATATYPE and fits(relation.literal, ranges)
    else:
        assert relation.object_id is not None
        in_range = _fits(entities[relation.object_id].classes, ranges, ontology)
    if not in_range:
        flags.append(OUTSIDE_RANGE)
    return replace(relation, flags=tuple(flags))


def _fits(classes: Iterable[str], wanted: tuple[str, ...], ontology: Ontology) -> bool:
    known = [iri for iri in classes if ontology.get_class(iri) is not None]
    expected = [iri for iri in wanted if ontology.get_class(iri) is not None]
    if not known or not expected:
        return True
    return any(ontology.is_a(own, iri) or ontology.is_a(iri, own) for own in known for iri in expected)
