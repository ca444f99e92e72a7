"""A pass over a batch on a real database, with extractions that only say in the ledger how they went."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any, cast
from uuid import uuid4

import pytest
from prefect.client.orchestration import PrefectClient

from knowledge.batches import Batch, BatchDocument, DocumentState, FailurePolicy, Listed, batch_id_of, moved
from knowledge.domain import ExecutionStatistics, ExecutionStatus
from knowledge.ids import FlowRunId, OrganizationId
from tables.batches import BatchStore
from tables.ledger import Ledger
from tables.session import Database
from tasks.batch_drive import MAX_ATTEMPTS, BatchAborted, Controls, Driver
from tasks.batch_starts import Starter


@dataclass(frozen=True)
class Run:
    """A flow run that Prefect has, and of which it says nothing."""

    id: str
    state: None = None


class FakePrefect:
    """Knows the flow runs that were begun, and notes which ones were cancelled."""

    def __init__(self) -> None:
        self.known: set[str] = set()
        self.cancelled: list[str] = []

    async def read_flow_runs(self, **_: object) -> list[Run]:
        return [Run(run_id) for run_id in self.known]

    async def set_flow_run_state(self, run_id: object, state: object, **_: object) -> None:
        self.cancelled.append(str(run_id))


@dataclass
class Extractions:
    """Begins documents by opening an execution, which has ended by the next look; counts what is under way."""

    ledger: Ledger
    prefect: FakePrefect
    fails: Callable[[BatchDocument], bool] = lambda document: False
    refuses: Callable[[BatchDocument], bool] = lambda document: False
    under_way: list[tuple[FlowRunId, ExecutionStatus]] = field(default_factory=list[tuple[FlowRunId, ExecutionStatus]])
    begun: Counter[str] = field(default_factory=Counter[str])
    digests: set[str] = field(default_factory=set[str])
    most: int = 0

    async def begin(self, batch: Batch, document: BatchDocument) -> BatchDocument:
        """Implements `Starter.begin`."""
        self.begun[document.name] += 1
        self.digests.add(document.digest)
        if self.refuses(document):
            return moved(document, DocumentState.FAILED, error="cannot be read")
        run = FlowRunId(str(uuid4()))
        self.prefect.known.add(run)
        self.under_way.append((run, ExecutionStatus.FAILED if self.fails(document) else ExecutionStatus.COMPLETED))
        self.most = max(self.most, len(self.under_way))
        return replace(document, flow_run_id=run, digest="of what was read")

    async def work(self, _: float = 0) -> None:
        """All that is under way ends; stands for waiting."""
        ended, self.under_way = self.under_way, []
        for run, status in ended:
            await asyncio.to_thread(self._end, run, status)

    def _end(self, run: FlowRunId, status: ExecutionStatus) -> None:
        state = self.ledger.open_execution(run, document_name="d", parameters={}, pid=1, host="h")
        error = "no answer" if status is ExecutionStatus.FAILED else None
        self.ledger.close_execution(state.id, status, error, ExecutionStatistics())


@dataclass(frozen=True)
class Pass:
    """A batch with documents in its first pass."""

    batch: Batch
    store: BatchStore
    extractions: Extractions
    prefect: FakePrefect
    driver: Driver

    async def drive(self) -> dict[str, int]:
        """Drives the pass to its end; its counts."""
        await self.driver.drive(self.batch, cast(Starter, self.extractions))
        return self.store.counts(self.batch).as_json()


async def _always() -> None:
    """The fence is ours."""


@pytest.fixture
def begin(database: Database, organization_id: OrganizationId) -> Callable[..., Pass]:
    """Makes a pass over documents `d0`, `d1` and so on."""

    def make(documents: int, **asked: Any) -> Pass:
        store = BatchStore(database, organization_id)
        wanted = Batch(
            id=batch_id_of(organization_id, ("/in",), "/o.ttl"),
            organization_id=organization_id,
            name="in",
            sources=("/in",),
            ontology="/o.ttl",
            options={},
            max_in_flight=asked.get("max_in_flight", 4),
            on_failure=asked.get("on_failure", FailurePolicy.CONTINUE),
            retract_missing=False,
            quiet_seconds=0.0,
        )
        batch = store.claim(wanted, FlowRunId(str(uuid4())))
        store.register(batch.id, 1, (Listed(f"/in/d{n}.txt", f"d{n}", "/o.ttl") for n in range(documents)))
        prefect = FakePrefect()
        extractions = Extractions(Ledger(database, organization_id), prefect)
        sleep: Callable[[float], Awaitable[object]] = extractions.work
        controls = Controls(_always, lambda: False, sleep)
        driver = Driver(cast(PrefectClient, prefect), database, store, controls)
        return Pass(batch, store, extractions, prefect, driver)

    return make


async def test_every_document_is_begun_once_and_no_more_than_asked_for_at_once(begin: Callable[..., Pass]) -> None:
    """None is lost, however many there are."""
    made = begin(120, max_in_flight=7)
    assert await made.drive() == {"documents": 120, "completed": 120, "reused": 0, "missing": 0}
    assert (set(made.extractions.begun.values()), made.extractions.most) == ({1}, 7)


async def test_what_fails_and_what_is_refused_does_not_stop_the_others(begin: Callable[..., Pass]) -> None:
    """Each with its reason."""
    made = begin(6)
    made.extractions.fails = lambda document: document.name == "d1"
    made.extractions.refuses = lambda document: document.name == "d2"
    assert await made.drive() == {"documents": 6, "completed": 4, "failed": 2, "reused": 0, "missing": 0}
    errors = {document.name: document.error for document in made.store.documents(made.batch.id) if document.error}
    assert errors == {"d1": "no answer", "d2": "cannot be read"}


async def test_a_failure_is_tried_again_and_a_refusal_is_not(begin: Callable[..., Pass]) -> None:
    """With a flow run of its own each time, and not for ever."""
    made = begin(4, on_failure=FailurePolicy.RETRY)
    made.extractions.fails = lambda document: document.name == "d0" or (document.name == "d1" and document.attempt < 2)
    made.extractions.refuses = lambda document: document.name == "d2"
    assert await made.drive() == {"documents": 4, "completed": 2, "failed": 2, "reused": 0, "missing": 0}
    assert made.extractions.begun == {"d0": MAX_ATTEMPTS, "d1": 2, "d2": 1, "d3": 1}
    # What has failed is not taken for what is in the graph.
    assert made.extractions.digests == {""}


async def test_an_aborted_batch_begins_nothing_more_and_cancels_what_runs(begin: Callable[..., Pass]) -> None:
    """What has been answered is stored: starting the batch again goes on from there."""
    made = begin(10, max_in_flight=3, on_failure=FailurePolicy.ABORT)
    made.extractions.refuses = lambda document: sum(made.extractions.begun.values()) == 5
    with pytest.raises(BatchAborted, match="cannot be read"):
        await made.drive()
    still = [str(standing.document.flow_run_id) for standing in made.store.under_way(made.batch.id)]
    await made.driver.cancel(made.batch, "aborted")
    assert sorted(made.prefect.cancelled) == sorted(still) != []
    counts = made.store.counts(made.batch).as_json()
    assert (counts["failed"], counts["completed"] + counts["cancelled"]) == (1, 9)
    assert made.extractions.begun.total() < 10


async def test_a_flow_run_that_was_deleted_is_a_failure(begin: Callable[..., Pass]) -> None:
    """Nobody waits for ever for what does not exist."""
    made = begin(1)
    document = made.store.pending(made.batch.id, 1, 1)[0]
    made.store.save([replace(document, flow_run_id=FlowRunId(str(uuid4())))])
    assert await made.drive() == {"documents": 1, "failed": 1, "reused": 0, "missing": 0}
    (document,) = made.store.documents(made.batch.id)
    assert "does not exist any more" in (document.error or "")
