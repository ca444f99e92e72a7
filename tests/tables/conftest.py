"""A small graph with everything in it, and the workflow ids to run with."""

import uuid
from collections.abc import Callable, Iterator
from typing import TypeVar

import pytest
from sqlalchemy import Engine, create_engine

from knowledge.domain import (
    Document,
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
from knowledge.ids import (
    ChunkId,
    EntityId,
    EvidenceId,
    ExtractionId,
    FlowRunId,
    MentionId,
    OrganizationId,
    RelationId,
)
from tables.documents import OntologySource, store_document, store_ontology
from tables.session import Database, sqlalchemy_url

TEXT = "Ada Lovelace met Charles Babbage in 1833. Lovelace wrote about his engine."


@pytest.fixture
def graph(database: Database, organization_id: OrganizationId) -> KnowledgeGraph:
    """A graph of the test's own organisation; document and ontology are stored, the graph is not."""
    document = Document.of(organization_id, "ada", TEXT, "ada.txt")
    ontology = OntologySource.of(organization_id, "people", ".ttl", b"# people", "0" * 64)
    store_document(database, document)
    store_ontology(database, ontology)
    return _graph(document, ontology)


def _graph(document: Document, ontology: OntologySource) -> KnowledgeGraph:
    extraction = ExtractionId.derive(document.id, ontology.digest)
    ada, charles = (EntityId.derive(extraction, name) for name in ("ada", "charles"))
    chunk = ChunkId.derive(document.id, "0")
    reader = Extractor("chat", "model-1", "mentions@1", "temperature=0")
    met, year = RelationId.derive(extraction, "met"), RelationId.derive(extraction, "year")

    def mention(entity: EntityId, start: int, end: int) -> Mention:
        return Mention(
            MentionId.derive(extraction, str(start)), Span(start, end), TEXT[start:end], entity, chunk, reader
        )

    def evidence(relation: RelationId, start: int, end: int) -> Evidence:
        return Evidence(
            EvidenceId.derive(relation, str(start)), Span(start, end), TEXT[start:end], chunk, Extractor("rules", "r1")
        )

    return KnowledgeGraph(
        extraction_id=extraction,
        document_id=document.id,
        ontology_id=ontology.id,
        entities=_sorted(
            Entity(ada, "Ada Lovelace", ("urn:Mathematician", "urn:Person"), ("Lovelace",)),
            Entity(charles, "Charles Babbage", ()),
        ),
        mentions=_sorted(mention(ada, 0, 12), mention(charles, 17, 32), mention(ada, 42, 50)),
        relations=_sorted(
            Relation(met, ada, "urn:met", charles, None, 0.9, (evidence(met, 13, 41), evidence(met, 0, 41))),
            Relation(year, ada, "urn:year", None, Literal("1833", "urn:gYear", "1833"), 0.1, (evidence(year, 0, 41),)),
        ),
        embeddings=tuple(
            EntityEmbedding(entity, "minilm", "a text", (0.5, -0.75, 0.0, 0.25)) for entity in sorted((ada, charles))
        ),
    )


_Item = TypeVar("_Item", Entity, Mention, Relation)


def _sorted(*items: _Item) -> tuple[_Item, ...]:
    return tuple(sorted(items, key=lambda item: item.id))


@pytest.fixture
def flow_run_id() -> Callable[[], FlowRunId]:
    """Makes fresh flow run ids."""
    return lambda: FlowRunId(str(uuid.uuid4()))


@pytest.fixture
def administrator(database_url: str) -> Iterator[Engine]:
    """The session's database as a superuser sees it."""
    engine = create_engine(sqlalchemy_url(database_url))
    yield engine
    engine.dispose()
