"""How a document of a batch begins: by what its bytes are now, and what has been published of it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from prefect.client.orchestration import PrefectClient

from knowledge.batches import Batch, BatchDocument, DocumentState, FailurePolicy, Listed, batch_id_of, moved
from knowledge.domain import ExecutionStatistics, ExecutionStatus, KnowledgeGraph
from knowledge.ids import DocumentId, ExtractionId, FlowRunId, OrganizationId
from knowledge.pipeline import ExtractionOptions, ExtractionPipeline
from knowledge.settings import DocumentSettings
from tables.batches import BatchStore
from tables.graph_store import publish
from tables.ledger import Ledger
from tables.session import Database
from tasks.batch_starts import Starter
from tasks.inputs import Inputs
from tests.sample import ONTOLOGY


@dataclass
class Thing:
    """Something that Prefect has an id for."""

    id: UUID


class FakePrefect:
    """Makes a flow run for each idempotency key."""

    def __init__(self) -> None:
        self.runs: dict[str, UUID] = {}

    async def read_deployment_by_name(self, name: str) -> Thing:
        return Thing(uuid4())

    async def create_flow_run_from_deployment(self, _: UUID, *, idempotency_key: str, **__: Any) -> Thing:
        return Thing(self.runs.setdefault(idempotency_key, uuid4()))


class Identities:
    """A pipeline of which only the identities of what it would extract are asked."""

    def extraction_id(self, document_id: DocumentId, ontology: object, options: ExtractionOptions) -> ExtractionId:
        return ExtractionId.derive(document_id, str(options.strict))


class Begun:
    """A batch of one file, and its passes."""

    def __init__(self, database: Database, organization_id: OrganizationId, folder: Path) -> None:
        self.file = folder / "a.txt"
        (folder / "o.ttl").write_bytes(ONTOLOGY)
        self.prefect = FakePrefect()
        self._database = database
        self._organization_id = organization_id
        self.store = BatchStore(database, organization_id)
        inputs = Inputs(database, organization_id, DocumentSettings(allowed_roots=(str(folder),)))
        pipeline = cast(ExtractionPipeline, Identities())
        self._starter = Starter(cast(PrefectClient, self.prefect), database, self.store, inputs, pipeline)
        ontology = str(folder / "o.ttl")
        self._listed = Listed(str(self.file), "a", ontology)
        wanted = Batch(
            id=batch_id_of(organization_id, (str(folder),), ontology),
            organization_id=organization_id,
            name="in",
            sources=(str(folder),),
            ontology=ontology,
            options={},
            max_in_flight=4,
            on_failure=FailurePolicy.CONTINUE,
            retract_missing=False,
            quiet_seconds=0.0,
        )
        self._claim: Callable[[], Batch] = lambda: self.store.claim(wanted, FlowRunId(str(uuid4())))
        self._batch = self._claim()

    async def begin(self, text: str, *, again: bool = False) -> BatchDocument:
        """The file with this text in a new pass, or `again` in the same one."""
        self.file.write_text(text)
        if not again:
            self._batch = self._claim()
            self.store.register(self._batch.id, self._batch.passes, [self._listed])
        (document,) = self.store.pending(self._batch.id, self._batch.passes, 1)
        return await self._starter.begin(self._batch, document)

    def end(self, document: BatchDocument, state: DocumentState) -> None:
        """What was begun comes to this end; completed, it is published and settled."""
        ended = moved(document, state)
        if state is DocumentState.COMPLETED:
            self._publish(document)
            ended = replace(ended, published_id=document.document_id, published_with_id=document.ontology_id)
        self.store.save([ended])

    def _publish(self, document: BatchDocument) -> None:
        assert document.document_id is not None
        assert document.ontology_id is not None
        assert document.extraction_id is not None
        ledger = Ledger(self._database, self._organization_id)
        state = ledger.open_execution(document.flow_run_id, document_name="a", parameters={}, pid=1, host="h")
        ledger.bind(state.id, document.document_id, document.ontology_id, document.extraction_id)
        graph = KnowledgeGraph(document.extraction_id, document.document_id, document.ontology_id)
        publish(self._database, self._organization_id, graph, state.id)
        ledger.close_execution(state.id, ExecutionStatus.COMPLETED, None, ExecutionStatistics())


@pytest.fixture
def begun(database: Database, organization_id: OrganizationId, tmp_path: Path) -> Begun:
    """A batch of one file."""
    return Begun(database, organization_id, tmp_path)


async def test_a_process_that_takes_over_is_given_the_flow_run_that_was_made(begun: Begun) -> None:
    """Killed between making and noting it, nothing is made twice."""
    first = await begun.begin("one")
    second = await begun.begin("one", again=True)
    assert (first.flow_run_id, len(begun.prefect.runs)) == (second.flow_run_id, 1)


async def test_unchanged_bytes_are_reused_and_changed_ones_are_not(begun: Begun) -> None:
    """And what comes back is begun anew only if it has been retracted meanwhile."""
    begun.end(await begun.begin("one"), DocumentState.COMPLETED)
    unchanged = await begun.begin("one")
    assert (unchanged.state, unchanged.reused, unchanged.flow_run_id) == (DocumentState.COMPLETED, True, None)
    begun.store.save([unchanged])
    changed = await begun.begin("two")
    assert (changed.state, changed.reused, len(begun.prefect.runs)) == (DocumentState.PENDING, False, 2)
    assert changed.published_id == unchanged.document_id
    begun.end(changed, DocumentState.COMPLETED)
    assert (await begun.begin("one")).reused
    assert begun.store.retract_published(replace(unchanged, published_id=unchanged.document_id), "test")
    again = await begun.begin("one")
    assert (again.reused, len(begun.prefect.runs)) == (False, 3)


async def test_a_change_that_failed_is_not_taken_for_what_was_there_before(begun: Begun) -> None:
    """Its bytes are the ones that were read last, but not the ones that are in the graph."""
    begun.end(await begun.begin("one"), DocumentState.COMPLETED)
    begun.end(await begun.begin("two"), DocumentState.FAILED)
    tried_again = await begun.begin("two")
    assert (tried_again.state, len(begun.prefect.runs)) == (DocumentState.PENDING, 3)
    begun.end(tried_again, DocumentState.FAILED)
    assert (await begun.begin("one")).reused


async def test_what_cannot_be_read_is_refused_with_the_reason(begun: Begun) -> None:
    """And starts nothing."""
    refused = await begun.begin(" ")
    assert (refused.state, begun.prefect.runs) == (DocumentState.FAILED, {})
    assert "white space only" in (refused.error or "")
