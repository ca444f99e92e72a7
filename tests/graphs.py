"""Published graphs for tests, made from facts in a line each, and an embedding model made of words."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass

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
    Usage,
)
from knowledge.ids import ChunkId, EntityId, EvidenceId, ExecutionId, ExtractionId, OrganizationId, RelationId
from knowledge.ontology import load_ontology
from knowledge.ports import EmbeddedTexts
from knowledge.search.embedding import EmbeddingService
from knowledge.search.indexing import Indexer, IndexReport
from knowledge.search.words import stems
from tables.documents import OntologySource, store_document, store_ontology
from tables.graph_store import publish
from tables.ledger import Ledger
from tables.search_index import SearchIndexStore
from tables.session import Database

NAMESPACE = "https://example.org/f#"
ONTOLOGY = b"""
@prefix : <https://example.org/f#> .
@prefix owl: <http://www.w3.org/2002/07/owl#> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
:Agent a owl:Class . :Person a owl:Class ; rdfs:subClassOf :Agent . :Film a owl:Class . :City a owl:Class .
:director a owl:ObjectProperty ; rdfs:label "director" ; rdfs:subPropertyOf :maker ; owl:inverseOf :directed .
:maker a owl:ObjectProperty . :directed a owl:ObjectProperty .
:producer a owl:ObjectProperty ; rdfs:label "producer" .
:birthPlace a owl:ObjectProperty ; rdfs:label "place of birth" .
:birthDate a owl:DatatypeProperty ; rdfs:label "date of birth" .
:spouse a owl:ObjectProperty , owl:SymmetricProperty ; rdfs:label "spouse" .
:partOf a owl:ObjectProperty , owl:TransitiveProperty ; rdfs:label "part of" .
"""
FILMS = (
    ("Night Ferry", "Film", "director", "Ada Brandt", "Night Ferry was directed by Ada Brandt."),
    ("Night Ferry", "Film", "producer", "Per Holm", "Per Holm produced Night Ferry."),
    ("Ada Brandt", "Person", "birthPlace", "Oslo", "Brandt was born in Oslo."),
    ("Ada Brandt", "Person", "birthDate", "4 May 1901", "She was born on 4 May 1901."),
    ("Silver Lamp", "Film", "director", "Eva Lund", "Silver Lamp was directed by Eva Lund."),
)
Fact = tuple[str, str, str, str, str]
_BY = Extractor("test", "lines")
_LITERALS = {"birthDate"}


class WordVectors:
    """An embedding model: a text's vector is the sum of its words', each a direction of its own. Counts its calls."""

    def __init__(self, model: str = "words 1", dimensions: int = 256) -> None:
        self.model = model
        self.dimensions = dimensions
        self.asked: list[str] = []

    async def embed(self, texts: Sequence[str]) -> EmbeddedTexts:
        """n_texts × dimensions, L2-normalised."""
        self.asked += texts
        return EmbeddedTexts(tuple(map(self._vector, texts)), Usage(embedding_calls=1))

    def _vector(self, text: str) -> tuple[float, ...]:
        total = [1e-3] * self.dimensions
        for stem in stems(text):
            digest = hashlib.sha256(stem.encode()).digest()
            for n in range(0, 16, 2):
                total[(digest[n] * 256 + digest[n + 1]) % self.dimensions] += 1 if digest[16 + n] % 2 else -1
        norm = math.hypot(*total)
        return tuple(value / norm for value in total)


@dataclass(frozen=True, slots=True)
class Published:
    """A graph in the database."""

    document: Document
    graph: KnowledgeGraph
    execution_id: ExecutionId


def publish_facts(
    database: Database, organization_id: OrganizationId, facts: Sequence[Fact] = FILMS, name: str = "films"
) -> Published:
    """Publishes a document of the facts' sentences and its graph, under a completed execution."""
    document = Document.of(organization_id, name, "\n".join(fact[4] for fact in facts))
    digest = load_ontology(ONTOLOGY, "films.ttl").digest
    ontology = OntologySource.of(organization_id, "films", ".ttl", ONTOLOGY, digest)
    store_document(database, document)
    store_ontology(database, ontology)
    graph = _graph(document, ontology, facts)
    ledger = Ledger(database, organization_id)
    run = ledger.open_execution(None, document_name=name, parameters={}, pid=1, host="test")
    ledger.bind(run.id, document.id, ontology.id, graph.extraction_id)
    publish(database, organization_id, graph, run.id)
    ledger.close_execution(run.id, ExecutionStatus.COMPLETED, None, ExecutionStatistics())
    return Published(document, graph, run.id)


def _graph(document: Document, ontology: OntologySource, facts: Sequence[Fact]) -> KnowledgeGraph:
    extraction = ExtractionId.derive(document.id, ontology.digest)
    classes: dict[str, tuple[str, ...]] = {}
    for subject, kind, predicate, target, _ in facts:
        classes[subject] = (NAMESPACE + kind,)
        if predicate not in _LITERALS:
            classes.setdefault(target, ())
    ids = {label: EntityId.derive(extraction, label) for label in classes}
    relations = [_relation(extraction, document, fact, ids) for fact in facts]
    return KnowledgeGraph(
        extraction,
        document.id,
        ontology.id,
        entities=tuple(sorted((Entity(ids[x], x, classes[x]) for x in classes), key=lambda entity: entity.id)),
        relations=tuple(sorted(relations, key=lambda relation: relation.id)),
    )


def _relation(extraction: ExtractionId, document: Document, fact: Fact, ids: dict[str, EntityId]) -> Relation:
    subject, _, predicate, target, sentence = fact
    relation_id = RelationId.derive(extraction, subject, predicate, target)
    start = document.text.index(sentence)
    span = Span(start, start + len(sentence))
    evidence = Evidence(EvidenceId.derive(relation_id), span, sentence, ChunkId.derive(document.id, "0"), _BY)
    literal = Literal(target, "http://www.w3.org/2001/XMLSchema#string", target) if predicate in _LITERALS else None
    target_id = None if literal else ids[target]
    return Relation(relation_id, ids[subject], NAMESPACE + predicate, target_id, literal, 0.9, (evidence,))


async def index(
    database: Database, organization_id: OrganizationId, model: WordVectors | None = None, *, reembed: bool = False
) -> IndexReport:
    """Brings the organisation's index up to date."""
    service = EmbeddingService(model or WordVectors())
    return await Indexer(SearchIndexStore(database, organization_id), service).index(reembed=reembed)
