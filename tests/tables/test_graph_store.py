"""Published graphs: read back equal, and published again without a change."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from knowledge.domain import (
    Document,
    Entity,
    EntityEmbedding,
    Evidence,
    ExecutionStatistics,
    ExecutionStatus,
    Extractor,
    KnowledgeGraph,
    Literal,
    Relation,
    Span,
)
from knowledge.errors import NotFound
from knowledge.ids import (
    ChunkId,
    DocumentId,
    EntityId,
    EvidenceId,
    ExecutionId,
    ExtractionId,
    FlowRunId,
    OrganizationId,
    RelationId,
)
from tables.documents import OntologySource, store_document, store_ontology
from tables.graph_store import latest_extractions, load_graph, publish
from tables.ledger import Ledger
from tables.schema import upgrade
from tables.session import Database, create_database


def test_a_published_graph_is_read_back_equal(
    database: Database, organization_id: OrganizationId, graph: KnowledgeGraph
) -> None:
    """What people read out of PostgreSQL is what the extraction found, evidence order and provenance included."""
    publish(database, organization_id, graph, ExecutionId.new())
    assert load_graph(database, organization_id, graph.extraction_id) == graph


def test_publishing_again_changes_nothing(
    database: Database, organization_id: OrganizationId, graph: KnowledgeGraph
) -> None:
    """A resumed run publishes a second time; rows keep their version and the execution that made them."""
    first = ExecutionId.new()
    assert publish(database, organization_id, graph, first) == 2 + 3 + 2 + 3 + 2
    assert publish(database, organization_id, graph, ExecutionId.new()) == 0
    with database.org_session(organization_id) as session:
        rows = session.execute(text("SELECT DISTINCT source, version FROM knowledge.mention")).all()
    assert rows == [(first, 1)]


def test_rows_that_the_extraction_no_longer_has_are_removed(
    database: Database, organization_id: OrganizationId, graph: KnowledgeGraph
) -> None:
    """A second extraction that finds less, or other labels, leaves no ghosts of the first."""
    publish(database, organization_id, graph, ExecutionId.new())
    entities = tuple(replace(entity, label=entity.label.upper()) for entity in graph.entities)
    less = replace(graph, entities=entities, relations=graph.relations[:1], mentions=(), embeddings=())
    publish(database, organization_id, less, ExecutionId.new())
    assert load_graph(database, organization_id, graph.extraction_id) == less
    nothing = replace(less, entities=(), relations=())
    publish(database, organization_id, nothing, ExecutionId.new())
    assert load_graph(database, organization_id, graph.extraction_id) == nothing


def test_a_graph_that_cannot_be_written_whole_is_not_written_at_all(
    database: Database, organization_id: OrganizationId, graph: KnowledgeGraph
) -> None:
    """Readers never see half a graph: the last table's failure undoes the first table's rows."""
    bad = EntityEmbedding(graph.entities[0].id, "minilm", "no vector", ())
    with pytest.raises(Exception, match="at least 1 dimension"):
        publish(database, organization_id, replace(graph, embeddings=(bad,)), ExecutionId.new())
    with pytest.raises(NotFound):
        load_graph(database, organization_id, graph.extraction_id)


def test_vectors_are_kept_as_four_byte_floats(
    database: Database, organization_id: OrganizationId, graph: KnowledgeGraph
) -> None:
    """pgvector's precision is the one difference between a published graph and the one read back."""
    vector = replace(graph.embeddings[0], vector=(0.1, 0.7))
    rough = replace(graph, embeddings=(vector,))
    publish(database, organization_id, rough, ExecutionId.new())
    (found,) = load_graph(database, organization_id, rough.extraction_id).embeddings
    assert found.vector == pytest.approx((0.1, 0.7), rel=1e-7)
    assert publish(database, organization_id, rough, ExecutionId.new()) == 0


def test_a_label_that_cannot_be_stored_does_not_cost_the_graph(
    database: Database, organization_id: OrganizationId, graph: KnowledgeGraph
) -> None:
    """A model may answer with a NUL or half a surrogate pair; everything else it found is still published."""
    odd = replace(graph.entities[0], label="a\x00b", aliases=("\ud800",))
    publish(database, organization_id, replace(graph, entities=(odd, graph.entities[1])), ExecutionId.new())
    found = load_graph(database, organization_id, graph.extraction_id).entities[0]
    assert (found.label, found.aliases) == ("a\ufffdb", ("\ufffd",))


def test_executions_that_publish_the_same_at_once_do_not_disturb_each_other(
    database: Database, organization_id: OrganizationId, graph: KnowledgeGraph
) -> None:
    """Two flow runs on one document end at the same time: one graph, no deadlock."""
    reversed_graph = replace(graph, mentions=graph.mentions[::-1], entities=graph.entities[::-1])

    def publish_one(published: KnowledgeGraph) -> int:
        return publish(database, organization_id, published, ExecutionId.new())

    with ThreadPoolExecutor(4) as pool:
        changed = list(pool.map(publish_one, [graph, reversed_graph] * 4))
    assert sorted(changed)[:-1] == [0] * 7
    assert load_graph(database, organization_id, graph.extraction_id) == graph


def test_what_publishing_reads_does_not_grow_with_what_is_published(
    empty_database_url: str, organization_id: OrganizationId
) -> None:
    """A connection from when there was nothing yet checks foreign keys by the key, not by all the organisation has."""
    upgrade(empty_database_url)
    database = create_database(empty_database_url)
    ontology = OntologySource.of(organization_id, "people", ".ttl", b"# people", "0" * 64)
    store_ontology(database, ontology)

    def publish_another(number: int) -> int:
        """How many entries of the indexes of facts have been read by now."""
        document = Document.of(organization_id, f"{number}", f"{number}: {'Ada met Bob. ' * _FACTS}")
        store_document(database, document)
        publish(database, organization_id, _facts_of(document, ontology), ExecutionId.new())
        with database.org_session(organization_id) as session:
            session.execute(text("SELECT pg_stat_force_next_flush()"))
        with database.org_session(organization_id) as session:
            return session.scalar(_ENTRIES_READ) or 0

    *_, before, after = map(publish_another, range(_DOCUMENTS))
    database.close()
    assert _FACTS <= after - before <= 2 * _FACTS


_DOCUMENTS, _FACTS = 12, 120
_ENTRIES_READ = text(
    "SELECT sum(idx_tup_read)::int FROM pg_stat_user_indexes WHERE schemaname = 'knowledge' AND relname = 'relation'"
)


def _facts_of(document: Document, ontology: OntologySource) -> KnowledgeGraph:
    """So many facts, each with its evidence; half of them about another entity, half about a literal."""
    extraction = ExtractionId.derive(document.id, ontology.digest)
    ada, bob = sorted(EntityId.derive(extraction, name) for name in ("ada", "bob"))

    def fact(number: int) -> Relation:
        relation = RelationId.derive(extraction, str(number))
        span = Span(number, number + 1)
        found = Evidence(EvidenceId.derive(relation), span, "A", ChunkId.derive(document.id, "0"), Extractor("a", "b"))
        literal = Literal("1833", "urn:gYear", "1833") if number % 2 else None
        return Relation(relation, ada, f"urn:{number}", None if literal else bob, literal, 1.0, (found,))

    return KnowledgeGraph(
        extraction,
        document.id,
        ontology.id,
        entities=(Entity(ada, "Ada", ()), Entity(bob, "Bob", ())),
        relations=tuple(sorted(map(fact, range(_FACTS)), key=lambda relation: relation.id)),
    )


def test_a_graph_of_a_document_that_is_not_stored_is_refused(
    database: Database, organization_id: OrganizationId, graph: KnowledgeGraph
) -> None:
    """A graph without its document has no evidence to show."""
    orphan = replace(graph, document_id=DocumentId.derive("other"))
    with pytest.raises(NotFound, match="document"):
        publish(database, organization_id, orphan, ExecutionId.new())


def test_a_row_cannot_refer_to_another_extraction(
    database: Database, organization_id: OrganizationId, graph: KnowledgeGraph
) -> None:
    """The database itself keeps the graphs of two extractions apart, and takes a graph with its extraction."""
    publish(database, organization_id, graph, ExecutionId.new())
    other = ExtractionId.derive(graph.document_id, "another model")
    empty = replace(graph, extraction_id=other, entities=(), mentions=(), relations=(), embeddings=())
    publish(database, organization_id, empty, ExecutionId.new())
    with pytest.raises(IntegrityError, match="mention"), database.org_session(organization_id) as session:
        session.execute(text("UPDATE knowledge.mention SET extraction_id = :other"), {"other": other})
    with database.org_session(organization_id) as session:
        session.execute(text("DELETE FROM knowledge.extraction WHERE id = :id"), {"id": graph.extraction_id})
        for table in ("entity", "mention", "relation", "relation_evidence", "embedding"):
            assert session.scalar(text(f"SELECT count(*) FROM knowledge.{table}")) == 0, table


def test_other_organisations_do_not_find_the_graph(
    database: Database, graph: KnowledgeGraph, organization_id: OrganizationId
) -> None:
    """An extraction's id is no key to it."""
    publish(database, organization_id, graph, ExecutionId.new())
    with pytest.raises(NotFound):
        load_graph(database, OrganizationId("stranger"), graph.extraction_id)


def test_the_latest_extraction_is_that_of_the_last_completed_execution(
    database: Database,
    organization_id: OrganizationId,
    graph: KnowledgeGraph,
    flow_run_id: Callable[[], FlowRunId],
) -> None:
    """An export without an execution named takes, for each document and ontology, what was completed last."""
    ledger = Ledger(database, organization_id)
    opened: list[ExecutionId] = []
    for status in (ExecutionStatus.COMPLETED, ExecutionStatus.COMPLETED, ExecutionStatus.FAILED):
        run = ledger.open_execution(flow_run_id(), document_name="ada", parameters={}, pid=1, host="h")
        ledger.bind(run.id, graph.document_id, graph.ontology_id, graph.extraction_id)
        ledger.close_execution(run.id, status, None, ExecutionStatistics())
        opened.append(run.id)
    (latest,) = latest_extractions(database, organization_id)
    assert (latest.execution_id, latest.extraction_id) == (opened[1], graph.extraction_id)
