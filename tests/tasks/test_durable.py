"""Durable stages on a real Prefect server: retried when it helps, stored before they are done, asked once."""

import asyncio
import json
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from prefect import flow
from prefect._internal.result_records import ResultRecord, ResultRecordMetadata
from prefect.client.schemas.objects import TaskRun
from prefect.context import TaskRunContext
from prefect.serializers import PickleSerializer
from prefect.settings import PREFECT_API_URL, temporary_settings
from sqlalchemy import text

from knowledge.domain import (
    Chunk,
    Extractor,
    Span,
    Usage,
)
from knowledge.errors import ItemGivenUp, ModelAnswerInvalid, ModelUnavailable, ResultNotPersisted, StoreUnavailable
from knowledge.findings import FoundEntities, FoundMention, FoundMentions, ListedThing
from knowledge.ids import ChunkId, ExecutionId, FlowRunId, OrganizationId
from knowledge.ontology import Ontology
from knowledge.stages import entities
from knowledge.stages.calls import Result, StageAnswer
from knowledge.stages.entities import find_entities
from knowledge.stages.stages import Stages
from resilience.retry import RetryPolicy
from tables import results as stored
from tables.ledger import Ledger
from tables.results import ResultStore
from tasks import results
from tasks.activities import ActivityRecorder
from tasks.durable import durable
from tasks.results import RESULTS_BLOCK, ResultStorage
from tests.running_stack import StackUnderTest
from tests.sample import TEXT, sample_ontology

pytestmark = pytest.mark.stack

CHUNK = Chunk(ChunkId.derive("d", TEXT), 0, Span(0, len(TEXT)), TEXT)
FOUND = FoundMentions(
    (FoundMention(Span(0, 10), "Ada Brandt", things=("e1",)),),
    (ListedThing("e1", "Ada Brandt", ("scientist",)),),
    (),
    Extractor("scripted", "m"),
    Usage(model_calls=1),
)
AT_ONCE = RetryPolicy(retries=2, first_delay_seconds=0, jitter=0)


@dataclass
class ScriptedModel:
    """Raises the errors it is given, one a question, and then answers."""

    errors: list[Exception] = field(default_factory=list[Exception])
    asked: int = 0
    extractor: Extractor = field(default_factory=lambda: Extractor("scripted", uuid4().hex))

    async def read(self, passage: str, ontology: Ontology) -> FoundMentions:
        self.asked += 1
        if self.errors:
            raise self.errors.pop(0)
        return FOUND


@dataclass
class Bench:
    """Runs a stage of the sample durably, each time as a flow run of its own."""

    storage: ResultStorage
    organization_id: OrganizationId
    execution_id: ExecutionId

    async def ask(self, model: ScriptedModel) -> tuple[FoundMentions, bool]:
        """The mentions stage's answer, and whether it was stored."""
        answer = await self.run(model, lambda made: made.mentions(CHUNK, sample_ontology()))
        return answer.value, answer.cached

    async def run(
        self, model: ScriptedModel, call: Callable[[Stages], Awaitable[StageAnswer[Result]]]
    ) -> StageAnswer[Result]:
        """What the call answers, made on the durable stages."""
        ledger = Ledger(self.storage.database, self.organization_id)

        @flow(name="bench", persist_result=False)
        async def bench() -> Any:
            async with ActivityRecorder(ledger, self.execution_id) as recorder:
                stages = Stages(model, None)  # type: ignore[arg-type]
                async with durable(stages, self.organization_id, self.storage, recorder, AT_ONCE) as made:
                    return await call(made)

        return await bench()

    @property
    def ended(self) -> list[str]:
        """How each attempt ended, by its number."""
        query = text("SELECT status FROM knowledge.workflow_activity WHERE execution_id = :id ORDER BY attempt")
        with self.storage.database.org_session(self.organization_id) as session:
            return list(session.execute(query, {"id": self.execution_id}).scalars())


@pytest.fixture
async def bench(stack: StackUnderTest, organization_id: OrganizationId) -> AsyncGenerator[Bench]:
    async with _prefect(stack):
        storage = await ResultStorage.aload(RESULTS_BLOCK)
        opened = Ledger(storage.database, organization_id).open_execution(
            FlowRunId(str(uuid4())), document_name="d", parameters={}, pid=1, host="h"
        )
        yield Bench(storage, organization_id, opened.id)


@asynccontextmanager
async def _prefect(stack: StackUnderTest) -> AsyncGenerator[None]:
    with temporary_settings({PREFECT_API_URL: stack.running.api_url}):
        yield


async def test_an_answer_is_asked_for_once_and_then_read(bench: Bench) -> None:
    """Also by another process: nothing but the storage remembers."""
    model = ScriptedModel()
    assert await bench.ask(model) == (FOUND, False)
    fresh = Bench(await ResultStorage.aload(RESULTS_BLOCK), bench.organization_id, bench.execution_id)
    assert await fresh.ask(model) == (FOUND, True)
    assert model.asked == 1
    assert bench.ended == ["completed", "cached"]


def _stored(bench: Bench) -> dict[str, bytes]:
    query = text("SELECT key, payload FROM knowledge.stage_result")
    with bench.storage.database.org_session(bench.organization_id) as session:
        return {key: bytes(payload) for key, payload in session.execute(query)}


async def test_answers_are_kept_as_records_of_prefect_in_json_and_never_pickled(bench: Bench) -> None:
    """Whoever can write a row must not be able to run code in a process that reads it; and people can read it."""
    model = ScriptedModel()
    await bench.ask(model)
    stored = _stored(bench)
    assert stored
    for key, payload in stored.items():
        record = json.loads(payload)
        assert (record["metadata"]["storage_key"], record["metadata"]["serializer"]["type"]) == (key, "json")
        assert json.loads(json.loads(record["result"])) == json.loads(ResultRecord[str].deserialize(payload).result)


async def test_answers_that_earlier_versions_pickled_are_still_read(bench: Bench) -> None:
    """They are paid for."""
    model = ScriptedModel()
    await bench.ask(model)
    ((key, payload),) = _stored(bench).items()
    answer = ResultRecord[str].deserialize(payload).result
    pickled = ResultRecord(result=answer, metadata=ResultRecordMetadata(storage_key=key, serializer=PickleSerializer()))
    ResultStore(bench.storage.database).write(bench.organization_id, key, pickled.serialize())
    assert await bench.ask(model) == (FOUND, True)
    assert model.asked == 1


async def test_what_is_made_of_an_answer_is_a_task_of_its_own_and_not_stored(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Entities and relations can be watched like any stage, and are made anew: that is as quick as reading them."""
    tasks: list[str] = []

    def find_in_task(*arguments: Any) -> FoundEntities:
        context = TaskRunContext.get()
        tasks.append(context.task.name if context else "")
        return find_entities(*arguments)

    monkeypatch.setattr(entities, "find_entities", find_in_task)
    for _ in range(2):
        answer = await bench.run(ScriptedModel(), lambda made: made.entities(CHUNK, FOUND, sample_ontology()))
        assert ([entity.name for entity in answer.value.entities], answer.cached) == (["Ada Brandt"], False)
    assert tasks == ["entities and relations", "entities and relations"]
    assert bench.ended == ["completed", "completed"]


async def test_questions_of_a_document_share_a_task_run_and_one_that_fails_has_its_own(bench: Bench) -> None:
    """It is named after all that it has made, and the retries of one question are another task run's."""
    runs: dict[int, list[TaskRun]] = defaultdict(list)
    failures = [ModelUnavailable("chat", "down")]

    class Model(ScriptedModel):
        async def read(self, passage: str, ontology: Ontology) -> FoundMentions:
            context = TaskRunContext.get()
            assert context is not None
            number = int(passage)
            runs[number].append(context.task_run)
            if number == 2 and failures:
                raise failures.pop()
            return await super().read(passage, ontology)

    def ask(made: Stages, number: int) -> Awaitable[StageAnswer[FoundMentions]]:
        return made.mentions(_chunk(str(number), number - 1), sample_ontology())

    async def call(made: Stages) -> StageAnswer[FoundMentions]:
        await asyncio.gather(*(ask(made, number) for number in (1, 2, 3)))
        return await ask(made, 4)

    await bench.run(Model(), call)
    assert {runs[number][0].id for number in (1, 2, 3, 4)} == {runs[1][0].id}
    assert runs[1][0].name == "mentions 1 and 3 more"
    first, second = runs[2]
    assert (second.id != first.id, second.name, second.empirical_policy.retries) == (True, "mentions 2", 2)
    assert Counter(bench.ended) == {"completed": 4, "failed": 1}


async def test_a_retryable_error_is_tried_again(bench: Bench) -> None:
    """An endpoint that stumbles costs attempts, not the run."""
    model = ScriptedModel([ModelUnavailable("chat", "down"), ModelUnavailable("chat", "down")])
    assert await bench.ask(model) == (FOUND, False)
    assert bench.ended == ["failed", "failed", "completed"]


async def test_retries_end_with_the_last_error(bench: Bench) -> None:
    """After the policy's attempts the reason is passed on."""
    model = ScriptedModel([ModelUnavailable("chat", f"down {n}") for n in range(9)])
    with pytest.raises(ModelUnavailable, match="down 2"):
        await bench.ask(model)
    assert model.asked == 3


async def test_the_last_attempt_is_not_lost_to_an_endpoint_that_answers_nobody(bench: Bench) -> None:
    """A document with one question would otherwise fail before five failures open the circuit."""
    errors: list[Exception] = [ModelUnavailable("chat", f"down {n}") for n in range(5)]
    for n, error in enumerate(errors, 1):
        error.consecutive_failures = n  # type: ignore[attr-defined]
    model = ScriptedModel(errors)
    assert await bench.ask(model) == (FOUND, False)
    assert model.asked == 6
    assert bench.ended == ["failed", "failed", "completed"]


@pytest.mark.parametrize("error", [ModelAnswerInvalid("chat", "nonsense"), ZeroDivisionError("a bug")])
async def test_a_permanent_error_is_not_tried_again(bench: Bench, error: Exception) -> None:
    """Trying again would cost the same and fail the same."""
    model = ScriptedModel([error])
    with pytest.raises(type(error)):
        await bench.ask(model)
    assert model.asked == 1


async def test_what_an_execution_has_given_up_it_does_not_ask_for_again(bench: Bench) -> None:
    """Nor does another process of it; another execution does."""
    model = ScriptedModel([ModelAnswerInvalid("chat", "nonsense")])
    for error in (ModelAnswerInvalid, ItemGivenUp):
        with pytest.raises(error, match="nonsense"):
            await bench.ask(model)
    assert model.asked == 1
    assert bench.ended == ["failed"]
    other = Ledger(bench.storage.database, bench.organization_id).open_execution(
        FlowRunId(str(uuid4())), document_name="d", parameters={}, pid=1, host="h"
    )
    assert await Bench(bench.storage, bench.organization_id, other.id).ask(model) == (FOUND, False)


async def test_a_result_that_cannot_be_stored_fails_the_task(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect would call it completed; the next run would pay again. The answer in hand is not asked for again."""
    monkeypatch.setattr(results, "_PATIENCE_SECONDS", -1.0)
    monkeypatch.setattr(stored, "store", _raising(ResultNotPersisted("the disk is full")))
    model = ScriptedModel()
    with pytest.raises(ResultNotPersisted):
        await bench.ask(model)
    assert model.asked == 1


async def test_a_storage_that_comes_back_keeps_the_answer(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database restart during the write costs a wait, not a call."""
    monkeypatch.setattr(results, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(stored, "store", _raising(StoreUnavailable("gone"), 3, stored.store))
    model = ScriptedModel()
    assert await bench.ask(model) == (FOUND, False)
    assert await bench.ask(model) == (FOUND, True)
    assert model.asked == 1


async def test_expected_questions_are_looked_up_in_one_query(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A document's; but one that is answered meanwhile, by another chunk with the same passage, is not asked again."""
    looked: list[int] = []
    find, read = ResultStore.find, ResultStore.read_many

    def counted(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(store: ResultStore, organization_id: OrganizationId, keys: Collection[str]) -> Any:
            looked.append(len(keys))
            return method(store, organization_id, keys)

        return call

    monkeypatch.setattr(ResultStore, "find", counted(find))
    monkeypatch.setattr(ResultStore, "read_many", counted(read))
    chunks = [_chunk(str(number), number) for number in (1, 2, 3)]
    twin = _chunk("1", 4)

    async def call(made: Stages) -> StageAnswer[FoundMentions]:
        await made.expect_mentions([*chunks, twin], sample_ontology())
        for chunk in chunks:
            await made.mentions(chunk, sample_ontology())
        assert looked == [4]
        return await made.mentions(twin, sample_ontology())

    model = ScriptedModel()
    assert (await bench.run(model, call)).cached
    assert (model.asked, looked) == (3, [4, 1])


def _chunk(passage: str, index: int) -> Chunk:
    return Chunk(ChunkId.derive("d", passage), index, Span(0, len(passage)), passage)


async def test_a_look_up_that_fails_is_not_taken_for_a_miss(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect takes it for one, and would pay for an answer that is stored."""
    monkeypatch.setattr(results, "_PATIENCE_SECONDS", -1.0)
    model = ScriptedModel()
    await bench.ask(model)
    monkeypatch.setattr(ResultStore, "read_many", _raising(StoreUnavailable("gone"), 3, ResultStore.read_many))
    assert (await bench.ask(model))[0] == FOUND
    assert model.asked == 1


def _raising(error: Exception, times: int = 1_000, then: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """A method that raises the error so many times, and then does what `then` does."""
    left = [error] * times

    def method(*arguments: Any) -> Any:
        if left:
            raise left.pop()
        assert then is not None
        return then(*arguments)

    return method
