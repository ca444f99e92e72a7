"""Graphs as RDF: plain triples in the ontology's own terms, and beside them where each comes from."""

import io
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import IO

import pyoxigraph
from pyoxigraph import Literal, NamedNode, Quad, Triple

from knowledge.domain import Relation
from knowledge.exports.graph_export import GraphExport
from knowledge.exports.namespaces import ALT_LABEL, LABEL, SAME_AS, TYPE, prefixes_for
from knowledge.exports.provenance import ProvenanceWriter
from knowledge.ids import RelationId

DEFAULT_BASE = "urn:knowledge:{organization}:"


class RdfFormat(StrEnum):
    """The RDF formats, by their usual file suffix."""

    TURTLE = "ttl"
    TRIG = "trig"
    N_QUADS = "nq"
    JSON_LD = "jsonld"

    @property
    def has_graphs(self) -> bool:
        """Whether facts and provenance are kept in named graphs of their own."""
        return self in {RdfFormat.TRIG, RdfFormat.N_QUADS}


_SERIALISATIONS = {
    RdfFormat.TURTLE: pyoxigraph.RdfFormat.TURTLE,
    RdfFormat.TRIG: pyoxigraph.RdfFormat.TRIG,
    RdfFormat.N_QUADS: pyoxigraph.RdfFormat.N_QUADS,
    RdfFormat.JSON_LD: pyoxigraph.RdfFormat.JSON_LD,
}


def export_rdf(exports: Iterable[GraphExport], form: RdfFormat, *, base: str = DEFAULT_BASE) -> bytes:
    """The graphs as one RDF file in UTF-8; see `write_rdf`."""
    output = io.BytesIO()
    write_rdf(exports, output, form, base=base)
    return output.getvalue()


def write_rdf(exports: Iterable[GraphExport], output: IO[bytes], form: RdfFormat, *, base: str = DEFAULT_BASE) -> None:
    """Writes the graphs as one RDF file in UTF-8.

    `base` and an id make the IRI of everything that has an id; `{organization}` in it stands for the
    organisation's id. TriG and N-Quads hold each document's facts in a graph with the document's IRI and all
    provenance in the graph `<base>provenance`; Turtle and JSON-LD hold everything in one graph.
    """
    exports = tuple(exports)
    statements = _quads(exports, base) if form.has_graphs else _triples(exports, base)
    pyoxigraph.serialize(statements, output, _SERIALISATIONS[form], prefixes=_prefixes(exports, base))


def _triples(exports: Sequence[GraphExport], base: str) -> Iterable[Triple]:
    """Each triple once: all facts, then all provenance."""
    facts, provenance = _parts(exports, base)
    return dict.fromkeys(triple for part in (*facts.values(), *provenance.values()) for triple in part)


def _quads(exports: Sequence[GraphExport], base: str) -> Iterator[Quad]:
    """Each quad once, graph by graph."""
    for part in _parts(exports, base):
        for graph, triples in part.items():
            name = NamedNode(graph)
            for triple in dict.fromkeys(triples):
                yield Quad(triple.subject, triple.predicate, triple.object, name)


def _parts(exports: Sequence[GraphExport], base: str) -> tuple[dict[str, list[Triple]], dict[str, list[Triple]]]:
    """Graph IRI to triples: first the documents' facts, second the provenance."""
    facts: defaultdict[str, list[Triple]] = defaultdict(list)
    provenance: defaultdict[str, list[Triple]] = defaultdict(list)
    for export in exports:
        own = _base(export, base)
        objects = {relation.id: _object(relation, own) for relation in export.graph.relations}
        facts[own + export.document.id] += _facts(export, own, objects)
        provenance[own + "provenance"] += ProvenanceWriter(export, own).triples(objects)
    return facts, provenance


def _facts(export: GraphExport, base: str, objects: Mapping[RelationId, NamedNode | Literal]) -> Iterator[Triple]:
    """Each entity's types, names and facts, entities and facts sorted by id."""
    about: defaultdict[str, list[Relation]] = defaultdict(list)
    for relation in sorted(export.graph.relations, key=lambda item: (item.predicate, item.id)):
        about[relation.subject_id].append(relation)
    same: defaultdict[str, list[str]] = defaultdict(list)
    for link in sorted(export.links, key=lambda item: item.id):
        same[link.entity_id].append(link.other_id)
        same[link.other_id].append(link.entity_id)
    for entity in sorted(export.graph.entities, key=lambda item: item.id):
        node = NamedNode(base + entity.id)
        for iri in entity.classes:
            yield Triple(node, TYPE, NamedNode(iri))
        yield Triple(node, LABEL, Literal(entity.label))
        for alias in entity.aliases:
            yield Triple(node, ALT_LABEL, Literal(alias))
        for relation in about[entity.id]:
            yield Triple(node, NamedNode(relation.predicate), objects[relation.id])
        for other_id in same[entity.id]:
            yield Triple(node, SAME_AS, NamedNode(base + other_id))


def _object(relation: Relation, base: str) -> NamedNode | Literal:
    if relation.object_id is not None:
        return NamedNode(base + relation.object_id)
    assert relation.literal is not None
    return Literal(relation.literal.lexical, datatype=NamedNode(relation.literal.datatype))


def _base(export: GraphExport, base: str) -> str:
    return base.replace("{organization}", export.document.organization_id)


def _prefixes(exports: Sequence[GraphExport], base: str) -> dict[str, str]:
    used = {iri for export in exports for entity in export.graph.entities for iri in entity.classes}
    used |= {relation.predicate for export in exports for relation in export.graph.relations}
    return prefixes_for({*used, *(_base(export, base) + "id" for export in exports)})
