"""Which facts do not fit their predicate's domain or range: they are flagged, and left out only when asked for."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial

from knowledge.domain import KnowledgeGraph, Relation
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
    classes = {entity.id: entity.classes for entity in graph.entities}
    # A document's facts are of few kinds: what ends of some classes mean for a predicate is worked out once.
    fits_side = cache(partial(_fits, ontology))

    def flagged(relation: Relation) -> Relation:
        flags = tuple(_flags(relation, classes, ontology, fits_side))
        return relation if flags == relation.flags else replace(relation, flags=flags)

    return replace(graph, relations=tuple(map(flagged, graph.relations)))


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


def _flags(
    relation: Relation,
    classes: Mapping[EntityId, tuple[str, ...]],
    ontology: Ontology,
    fits_side: Callable[[tuple[str, ...], tuple[str, ...]], bool],
) -> Iterator[str]:
    predicate = ontology.get_property(relation.predicate)
    if predicate is None:
        yield from relation.flags
        return
    if not fits_side(classes[relation.subject_id], ontology.effective_domains(predicate)):
        yield OUTSIDE_DOMAIN
    ranges = ontology.effective_ranges(predicate)
    if relation.literal is not None:
        in_range = predicate.kind is PropertyKind.DATATYPE and fits(relation.literal, ranges)
    else:
        assert relation.object_id is not None
        in_range = fits_side(classes[relation.object_id], ranges)
    if not in_range:
        yield OUTSIDE_RANGE


def _fits(ontology: Ontology, classes: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    known = [iri for iri in classes if ontology.get_class(iri) is not None]
    expected = [iri for iri in wanted if ontology.get_class(iri) is not None]
    if not known or not expected:
        return True
    return any(ontology.is_a(own, iri) or ontology.is_a(iri, own) for own in known for iri in expected)
