"""Batches as rows: passes, what is under way, and what is retracted; each within its organisation."""

import uuid
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import replace

import pytest
from sqlalchemy import event, text

from knowledge.batches import (
    Batch,
    BatchDocument,
    DocumentState,
    FailurePolicy,
    Listed,
    batch_id_of,
    moved,
)
from knowledge.domain import (
    Document,
    Entity,
    ExecutionStatistics,
    ExecutionStatus,
    ExtractionProgress,
    KnowledgeGraph,
    Stage,
)
from knowledge.errors import NotFound
from knowledge.ids import EntityId, ExecutionId, ExtractionId, FlowRunId, OrganizationId
from tables.batches import BatchStore
from tables.documents import load_document, store_document
from tables.fence import Fence
from tables.graph_store import latest_extractions, load_graph, publish
from tables.ledger import Ledger
from tables.links import link_entities, load_links
from tables.session import Database, create_database
from tests.tables.test_ledger import step

NewId = Callable[[], FlowRunId]


def batch_of(organization_id: OrganizationId, **changes: object) -> Batch:
    """A batch of two folders."""
    batch = Batch(
        id=batch_id_of(organization_id, ("/a", "/b"), "/o.ttl"),
        organization_id=organization_id,
        name="a and 1 more",
        sources=("/a", "/b"),
        ontology="/o.ttl",
        options={"strict": False},
        max_in_flight=4,
        on_failure=FailurePolicy.CONTINUE,
        retract_missing=False,
        quiet_seconds=0.0,
    )
    return replace(batch, **changes)  # pyright: ignore[reportArgumentType]


@pytest.fixture
def store(database: Database, organization_id: OrganizationId) -> BatchStore:
    """The batches of the test's organisation."""
    return BatchStore(database, organization_id)


def _listed(*names: str) -> list[Listed]:
    return [Listed(f"/a/{name}.txt", name, "/o.ttl") for name in names]


async def test_a_batch_is_of_one_live_flow_run_and_goes_to_the_next_when_that_has_died(
    store: BatchStore, database: Database, organization_id: OrganizationId, flow_run_id: NewId
) -> None:
    """Started twice at once it is worked on once; who holds it hears that it was started again."""
    first, second = flow_run_id(), flow_run_id()
    fence = Fence(database, first)
    assert await fence.take()
    claimed = store.claim(batch_of(organization_id), first)
    assert (claimed.flow_run_id, claimed.passes) == (first, 1)
    assert store.claim(batch_of(organization_id), first).passes == 1
    joined = store.claim(batch_of(organization_id, retract_missing=True), second)
    assert (joined.flow_run_id, joined.passes) == (first, 2)
    assert not store.release(claimed.id, 1)
    assert store.load(claimed.id).retract_missing
    await fence.release()
    assert store.claim(batch_of(organization_id), second).flow_run_id == second
    assert store.release(claimed.id, 3)
    assert store.load(claimed.id).flow_run_id is None


def test_a_pass_takes_up_each_document_once_and_the_next_pass_again(
    store: BatchStore, organization_id: OrganizationId, flow_run_id: NewId
) -> None:
    """A process that takes over lists everything again; what had ended in this pass has ended."""
    batch = store.claim(batch_of(organization_id), flow_run_id())
    assert store.register(batch.id, 1, _listed("x", "y")) == 2
    assert store.register(batch.id, 1, _listed("x", "y", "z")) == 1
    x, *_ = found = store.pending(batch.id, 1, 10)
    assert len(found) == 3
    store.save([moved(x, DocumentState.FAILED, error="bad\0text")])
    assert store.register(batch.id, 1, _listed("x", "y", "z")) == 0
    assert store.counts(batch).as_json() == {"documents": 3, "pending": 2, "failed": 1, "reused": 0, "missing": 0}
    assert store.register(batch.id, 2, _listed("x")) == 1
    assert [d.error for d in store.pending(batch.id, 2, 10)] == [None]
    counts = store.counts(replace(batch, passes=2))
    assert (counts.total, counts.missing) == (1, 0)


def test_how_documents_stand_is_asked_in_one_query_however_many_they_are(
    store: BatchStore, database_url: str, organization_id: OrganizationId, flow_run_id: NewId
) -> None:
    """A thousand documents cost no more questions than one, and none is lost."""
    batch = store.claim(batch_of(organization_id), flow_run_id())
    names = [f"d{n}" for n in range(1000)]
    assert store.register(batch.id, 1, _listed(*names)) == 1000
    store.save([replace(d, flow_run_id=flow_run_id()) for d in store.pending(batch.id, 1, 2000)])
    with closing(create_database(database_url)) as other:
        asked: list[str] = []
        engine = other._engine  # pyright: ignore[reportPrivateUsage]

        def note(_c: object, _cursor: object, statement: str, *_: object) -> None:
            asked.append(statement)

        event.listen(engine, "before_cursor_execute", note)
        standings = BatchStore(other, organization_id).under_way(batch.id)
    assert {standing.document.name for standing in standings} == set(names)
    assert len([statement for statement in asked if "workflow_batch_document" in statement]) == 1


def test_a_document_under_way_stands_where_the_ledger_says(
    store: BatchStore, database: Database, organization_id: OrganizationId, flow_run_id: NewId
) -> None:
    """From the execution of its flow run, as soon as there is one."""
    batch = store.claim(batch_of(organization_id), flow_run_id())
    store.register(batch.id, 1, _listed("x"))
    (document,) = store.pending(batch.id, 1, 1)
    run = flow_run_id()
    store.save([replace(document, flow_run_id=run)])
    assert store.pending(batch.id, 1, 1) == ()
    (standing,) = store.under_way(batch.id)
    assert (standing.execution_id, standing.status) == (None, None)
    ledger = Ledger(database, organization_id)
    state = ledger.open_execution(run, document_name="x", parameters={}, pid=1, host="h")
    ledger.record_activities([], [step(state.id, ExtractionProgress(Stage.RELATIONS, 1, 2))])
    (standing,) = store.under_way(batch.id)
    assert (standing.execution_id, standing.status, standing.stage) == (
        state.id,
        ExecutionStatus.RUNNING,
        Stage.RELATIONS,
    )
    assert BatchStore(database, OrganizationId(f"org-{uuid.uuid4().hex}")).under_way(batch.id) == ()


@pytest.fixture
def published(
    database: Database, organization_id: OrganizationId, graph: KnowledgeGraph, flow_run_id: NewId
) -> ExecutionId:
    """The graph's execution, completed."""
    return _publish(database, organization_id, graph, flow_run_id())


def _publish(database: Database, organization_id: OrganizationId, graph: KnowledgeGraph, run: FlowRunId) -> ExecutionId:
    ledger = Ledger(database, organization_id)
    state = ledger.open_execution(run, document_name="ada", parameters={}, pid=1, host="h")
    ledger.bind(state.id, graph.document_id, graph.ontology_id, graph.extraction_id)
    publish(database, organization_id, graph, state.id)
    link_entities(database, organization_id, graph.extraction_id, state.id)
    ledger.close_execution(state.id, ExecutionStatus.COMPLETED, None, ExecutionStatistics())
    return state.id


def _holding(store: BatchStore, batch: Batch, graph: KnowledgeGraph, names: Sequence[str]) -> list[BatchDocument]:
    """Documents of the batch that have the graph's content, reused and settled."""
    store.register(batch.id, batch.passes, _listed(*names))
    found = store.pending(batch.id, batch.passes, 10)
    ids = {"document_id": graph.document_id, "ontology_id": graph.ontology_id, "extraction_id": graph.extraction_id}
    there = [moved(document, DocumentState.COMPLETED, reused=True, **ids) for document in found]
    assert all(store.reuse(document) for document in there)
    assert {document.id for document in store.unsettled(batch.id, 10)} == {document.id for document in there}
    settled = [replace(d, published_id=graph.document_id, published_with_id=graph.ontology_id) for d in there]
    store.save(settled)
    assert store.unsettled(batch.id, 10) == ()
    return settled


def test_what_is_published_already_is_reused_and_nothing_else(
    store: BatchStore,
    organization_id: OrganizationId,
    graph: KnowledgeGraph,
    published: ExecutionId,
    flow_run_id: NewId,
) -> None:
    """The same content under another model or with other options is another extraction."""
    batch = store.claim(batch_of(organization_id), flow_run_id())
    (document,) = _holding(store, batch, graph, ["x"])
    assert not store.reuse(replace(document, extraction_id=type(graph.extraction_id).derive("other model")))


def test_content_is_retracted_when_its_last_holder_lets_it_go(
    store: BatchStore,
    database: Database,
    organization_id: OrganizationId,
    graph: KnowledgeGraph,
    published: ExecutionId,
    flow_run_id: NewId,
) -> None:
    """Two files with the same text are one document; it is gone when both are. Reading it again brings it back."""
    batch = store.claim(batch_of(organization_id), flow_run_id())
    x, y = _holding(store, batch, graph, ["x", "y"])
    assert not store.retract_published(x, "test")
    store.mark_retracted([x])
    assert store.missing(batch.id, 2, 10) == (y,)
    assert store.counts(replace(batch, passes=2)).missing == 1
    assert store.retract_published(y, "test")
    store.mark_retracted([y])
    assert store.missing(batch.id, 2, 10) == ()
    _is_gone(database, organization_id, graph)
    assert not store.reuse(replace(x, state=DocumentState.COMPLETED))
    document = Document.of(organization_id, "ada", _text(database, organization_id), "ada.txt")
    store_document(database, document)
    _publish(database, organization_id, graph, flow_run_id())
    assert load_graph(database, organization_id, graph.extraction_id) == graph
    with database.org_session(organization_id) as session:
        for table in ("document", "entity", "mention", "relation", "relation_evidence", "embedding"):
            deleted = text(f"SELECT count(*) FROM knowledge.{table} WHERE deleted_at IS NOT NULL")
            assert (table, session.scalar(deleted)) == (table, 0)


def _text(database: Database, organization_id: OrganizationId) -> str:
    with database.org_session(organization_id) as session:
        return str(session.scalar(text("SELECT text FROM knowledge.document")))


def _is_gone(database: Database, organization_id: OrganizationId, graph: KnowledgeGraph) -> None:
    assert latest_extractions(database, organization_id) == ()
    with pytest.raises(NotFound):
        load_graph(database, organization_id, graph.extraction_id)
    with pytest.raises(NotFound):
        load_document(database, organization_id, graph.document_id)
    with database.org_session(organization_id) as session:
        shown = text("SELECT count(*) FROM knowledge.entity WHERE deleted_at IS NULL")
        assert session.scalar(shown) == 0


def test_links_to_what_is_retracted_are_not_shown(
    store: BatchStore, database: Database, organization_id: OrganizationId, graph: KnowledgeGraph, flow_run_id: NewId
) -> None:
    """What only it supported disappears; what other documents say stays."""
    other = _read_again(database, graph, organization_id)
    for one in (graph, other):
        _publish(database, organization_id, one, flow_run_id())
    assert load_links(database, organization_id)
    batch = store.claim(batch_of(organization_id), flow_run_id())
    (document,) = _holding(store, batch, graph, ["x"])
    assert store.retract_published(document, "test")
    assert load_links(database, organization_id) == ()
    assert [found.extraction_id for found in latest_extractions(database, organization_id)] == [other.extraction_id]


def _read_again(database: Database, graph: KnowledgeGraph, organization_id: OrganizationId) -> KnowledgeGraph:
    """Another document that names one of the same things."""
    document = Document.of(organization_id, "letter", "Ada Lovelace wrote a letter.")
    store_document(database, document)
    extraction = ExtractionId.derive(document.id, "ontology")
    ada = Entity(EntityId.derive(extraction, "ada"), "Ada Lovelace", ("urn:Person",))
    nothing = {"mentions": (), "relations": (), "embeddings": ()}
    return replace(graph, extraction_id=extraction, document_id=document.id, entities=(ada,), **nothing)
