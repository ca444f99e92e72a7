"""The ledger: executions and attempts through restarts."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from knowledge.domain import (
    ActivityStatus,
    ExecutionStatistics,
    ExecutionStatus,
    ExtractionProgress,
    KnowledgeGraph,
    Stage,
    Usage,
    WorkflowExecutionState,
)
from knowledge.errors import NotFound
from knowledge.ids import ActivityId, DocumentId, ExecutionId, FlowRunId, OrganizationId, ProgressEventId
from knowledge.progress import ProgressStep
from tables.ledger import ActivityRecord, Ledger
from tables.results import ResultStore
from tables.session import Database

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def ledger(database: Database, organization_id: OrganizationId) -> Ledger:
    """The test's own organisation's ledger."""
    return Ledger(database, organization_id)


@pytest.fixture
def execution_id(ledger: Ledger, flow_run_id: Callable[[], FlowRunId]) -> ExecutionId:
    """An execution that is running."""
    return ledger.open_execution(flow_run_id(), document_name="ada", parameters={}, pid=1, host="h").id


def attempt(execution_id: ExecutionId, item: str = "0", number: int = 1) -> ActivityRecord:
    """A running attempt of the mentions stage."""
    return ActivityRecord(
        ActivityId.new(), execution_id, Stage.MENTIONS, item, number, ActivityStatus.RUNNING, NOON, cache_key="key"
    )


def ended(record: ActivityRecord, status: ActivityStatus, usage: Usage | None = None) -> ActivityRecord:
    """The attempt two seconds later."""
    return replace(
        record,
        status=status,
        ended_at=NOON + timedelta(seconds=2),
        cache_hit=status is ActivityStatus.CACHED,
        usage=usage or Usage(1, 0, 100, 10),
    )


def step(execution_id: ExecutionId, progress: ExtractionProgress) -> ProgressStep:
    """A stage come so far, without a call."""
    return ProgressStep(ProgressEventId.new(), execution_id, progress, 0.0, 0, 0, NOON)


def test_opening_twice_from_one_process_is_one_execution(ledger: Ledger, flow_run_id: Callable[[], FlowRunId]) -> None:
    """A flow that retries within its process has not been resumed."""
    run = flow_run_id()
    first = ledger.open_execution(run, document_name="ada", parameters={"a": [1, None]}, pid=1, host="h")
    again = ledger.open_execution(run, document_name="ada", parameters={}, pid=1, host="h")
    assert first == again
    assert (first.status, first.resumes, first.pid, first.host) == (ExecutionStatus.RUNNING, 0, 1, "h")
    assert ledger.find_by_flow_run(run) == ledger.load(first.id) == first


def test_an_execution_waits_for_its_next_process(ledger: Ledger, flow_run_id: Callable[[], FlowRunId]) -> None:
    """A resume is counted by whoever decides it; the earlier failure is forgotten, the start is not."""
    run = flow_run_id()
    first = ledger.open_execution(run, document_name="ada", parameters={}, pid=1, host="h", holder="one")
    assert ledger.is_held_by(first.id, "one")
    ledger.close_execution(first.id, ExecutionStatus.FAILED, "killed", ExecutionStatistics())
    assert not ledger.is_held_by(first.id, "one")
    waiting = ledger.await_process(first.id, counted=True)
    assert (waiting.status, waiting.resumes, waiting.holder) == (ExecutionStatus.PENDING, 1, None)
    assert ledger.await_process(first.id, counted=False).resumes == 1
    second = ledger.open_execution(run, document_name="ada", parameters={}, pid=2, host="h", holder="two")
    assert (second.id, second.resumes, second.holder) == (first.id, 1, "two")
    assert (second.status, second.error, second.ended_at) == (ExecutionStatus.RUNNING, None, None)
    assert second.started_at == first.started_at
    assert ledger.is_held_by(first.id, "two")
    assert not ledger.is_held_by(first.id, "one")


def test_a_run_that_died_before_it_began_can_be_given_an_execution(
    ledger: Ledger, flow_run_id: Callable[[], FlowRunId]
) -> None:
    """Recovery records why it was given up; one that it has already is left as it is."""
    run = flow_run_id()
    expected = ledger.expect_execution(run, document_name="ada", parameters={})
    assert (expected.status, expected.started_at) == (ExecutionStatus.PENDING, None)
    assert ledger.expect_execution(run, document_name="other", parameters={}) == expected


def test_failed_attempts_are_counted_and_broken_off_ones_are_not(ledger: Ledger, execution_id: ExecutionId) -> None:
    """Three retries are three over the item's life, whatever died meanwhile; what was last begun is known."""
    failed, broken_off = attempt(execution_id), attempt(execution_id, number=2)
    ledger.record_activities([ended(failed, ActivityStatus.FAILED), broken_off, attempt(execution_id, "1")])
    assert ledger.take_over(execution_id)[0].failed == {(Stage.MENTIONS, "0"): 1}
    ledger.record_activities([ended(attempt(execution_id, "1", 2), ActivityStatus.COMPLETED)])
    assert ledger.last_activity(execution_id) == (Stage.MENTIONS, "0")


def test_a_refused_request_leaves_a_failed_execution_that_says_why(ledger: Ledger) -> None:
    """Bad input is on record, even where what it quotes cannot be stored as it is."""
    refused = ledger.refuse("bin\x00ary", {"x\x00": "\ud800", "n": float("nan")}, "not text: '\x00'")
    assert (refused.status, refused.flow_run_id, refused.error) == (ExecutionStatus.FAILED, None, "not text: '\ufffd'")
    assert refused.document_name == "bin\ufffdary"
    ledger.refuse("again", {}, "no")
    assert [state.document_name for state in ledger.list_executions(1)] == ["again"]
    assert len(ledger.list_executions()) == 2


def test_executions_are_listed_in_pages_the_newest_first(ledger: Ledger, flow_run_id: Callable[[], FlowRunId]) -> None:
    """Each is on one page, whatever is added in front while somebody turns the pages."""
    oldest, middle = (
        ledger.open_execution(flow_run_id(), document_name=name, parameters={}, pid=1, host="h").id for name in "ab"
    )
    first = ledger.list_executions(1)
    ledger.refuse("newer", {}, "no")
    second = ledger.list_executions(1, before=first[0].id)
    assert [state.id for state in (*first, *second)] == [middle, oldest]
    assert ledger.list_executions(1, before=oldest) == ()
    with pytest.raises(NotFound):
        ledger.list_executions(1, before=ExecutionId.new())


def test_closing_keeps_the_numbers_and_the_reason(ledger: Ledger, execution_id: ExecutionId) -> None:
    """The row is what the command line and the UI tell about a run."""
    statistics = ExecutionStatistics(*range(1, 12), seconds=1.5)
    closed = ledger.close_execution(execution_id, ExecutionStatus.FAILED, "no\x00", statistics)
    assert (closed.status, closed.error, closed.statistics) == (ExecutionStatus.FAILED, "no\ufffd", statistics)
    assert closed.ended_at is not None
    assert closed == ledger.load(execution_id)


def test_closing_can_add_up_what_the_attempts_have_cost(ledger: Ledger, execution_id: ExecutionId) -> None:
    """Those of earlier processes too; what was found is what the last one says."""
    ledger.record_activities([ended(attempt(execution_id), ActivityStatus.COMPLETED)])
    found = ExecutionStatistics(chunks=3, model_calls=7, failed_items=2, seconds=1.5)
    closed = ledger.close_execution(execution_id, ExecutionStatus.COMPLETED, None, found, adds_attempts=True)
    spent = ledger.statistics(execution_id)
    assert spent.model_calls == 1
    assert closed.statistics == replace(spent, chunks=3, failed_items=2, seconds=1.5)


def test_taking_an_execution_up_says_how_it_stood(ledger: Ledger, flow_run_id: Callable[[], FlowRunId]) -> None:
    """A run that was held goes on differently from one that begins."""
    run = flow_run_id()

    def take_up() -> tuple[ExecutionStatus | None, WorkflowExecutionState]:
        return ledger.take_up(run, document_name="ada", parameters={}, pid=1, host="h")

    before, state = take_up()
    assert (before, state.status) == (None, ExecutionStatus.RUNNING)
    ledger.set_aside(state.id, "reviewed")
    before, again = take_up()
    assert (before, again.status, again.id) == (ExecutionStatus.WAITING, ExecutionStatus.RUNNING, state.id)


def test_binding_names_what_is_extracted(ledger: Ledger, execution_id: ExecutionId, graph: KnowledgeGraph) -> None:
    """From here on the execution can be found by document, ontology and extraction."""
    ids = (graph.document_id, graph.ontology_id, graph.extraction_id)
    bound = ledger.bind(execution_id, *ids, document_name="ada lovelace", models={"chat": "m"}, options={"chunk": 3})
    assert (bound.document_id, bound.ontology_id, bound.extraction_id) == ids
    assert bound.document_name == "ada lovelace"
    with pytest.raises(NotFound, match="document"):
        ledger.bind(execution_id, DocumentId.derive("none"), *ids[1:])


def test_an_unknown_execution_is_not_found(ledger: Ledger, graph: KnowledgeGraph) -> None:
    """Every door says so, rather than doing nothing."""
    nobody = ExecutionId.new()
    for call in (
        lambda: ledger.load(nobody),
        lambda: ledger.bind(nobody, graph.document_id, graph.ontology_id, graph.extraction_id),
        lambda: ledger.close_execution(nobody, ExecutionStatus.FAILED, "x", ExecutionStatistics()),
        lambda: ledger.record_activities([], [step(nobody, ExtractionProgress(Stage.CHUNK, 1, 1))]),
        lambda: ledger.record_activities([attempt(nobody)]),
    ):
        with pytest.raises(NotFound, match=nobody):
            call()


def test_progress_of_each_stage_is_kept(ledger: Ledger, execution_id: ExecutionId) -> None:
    """Saving one stage's progress leaves the others'; the furthest one named is where the execution is."""
    chunk, mentions = ExtractionProgress(Stage.CHUNK, 1, 1), ExtractionProgress(Stage.MENTIONS, 3, 10, "half\x00")
    ledger.record_activities([], [step(execution_id, mentions), step(execution_id, chunk)])
    ledger.record_activities([], [step(execution_id, replace(mentions, completed=4))])
    assert ledger.load_progress(execution_id) == (chunk, ExtractionProgress(Stage.MENTIONS, 4, 10, "half\ufffd"))
    assert ledger.load(execution_id).stage is Stage.MENTIONS


def test_recording_is_repeatable_and_the_last_word_counts(ledger: Ledger, execution_id: ExecutionId) -> None:
    """A batch that is written twice, or late, neither doubles an attempt nor reopens one that has ended."""
    running = attempt(execution_id)
    done = ended(running, ActivityStatus.COMPLETED)
    ledger.record_activities([running, done])
    ledger.record_activities([done])
    ledger.record_activities([running])
    assert ledger.statistics(execution_id).model_calls == 1
    assert ledger.interrupt_running(execution_id) == 0
    ledger.record_activities([])


def test_a_resumed_run_adds_attempts(ledger: Ledger, execution_id: ExecutionId) -> None:
    """What a dead process left running is closed as interrupted, and numbers go on from there."""
    ledger.record_activities([attempt(execution_id, "0"), attempt(execution_id, "1"), attempt(execution_id, "1", 2)])
    earlier, _ = ledger.take_over(execution_id)
    assert earlier.highest == {(Stage.MENTIONS, "0"): 1, (Stage.MENTIONS, "1"): 2}
    assert ledger.interrupt_running(execution_id) == 0
    ledger.record_activities([attempt(execution_id, "0", 2)])
    assert ledger.take_over(execution_id)[0].highest[Stage.MENTIONS, "0"] == 2


def test_what_is_taken_over_says_what_was_spent_and_given_up(ledger: Ledger, execution_id: ExecutionId) -> None:
    """The next process asks for nothing again that this execution has given up, and counts on."""
    given_up = replace(
        ended(attempt(execution_id), ActivityStatus.FAILED), cache_key="key", given_up=True, error="nonsense"
    )
    ledger.record_activities([given_up, ended(attempt(execution_id, "1"), ActivityStatus.COMPLETED)])
    earlier, progress = ledger.take_over(execution_id)
    assert earlier.given_up == {"key": "nonsense"}
    assert (earlier.spent, progress) == (ledger.statistics(execution_id), ())
    assert earlier.spent.model_calls > 0


def test_an_answer_is_stored_with_its_attempt_or_not_at_all(
    database: Database, organization_id: OrganizationId, ledger: Ledger, execution_id: ExecutionId
) -> None:
    """Whoever finds one finds the other."""
    results, done = ResultStore(database), ended(attempt(execution_id), ActivityStatus.COMPLETED)
    with pytest.raises(NotFound):
        ledger.record_activities([replace(done, execution_id=ExecutionId.new())], answers={"key": b"answer"})
    assert results.read(organization_id, "key") is None
    ledger.record_activities([done], answers={"key": b"answer"})
    assert results.read(organization_id, "key") == b"answer"
    assert [found.status for found in ledger.load_activities(execution_id)] == [ActivityStatus.COMPLETED]


def test_an_attempt_that_a_dying_process_wrote_too_late_does_not_stop_its_successor(
    ledger: Ledger, execution_id: ExecutionId
) -> None:
    """Two processes may number an attempt alike in the moment of a takeover; the row stays one."""
    mine, theirs = attempt(execution_id), attempt(execution_id)
    ledger.record_activities([theirs])
    ledger.record_activities([mine])
    ledger.record_activities([ended(mine, ActivityStatus.COMPLETED)])
    assert ledger.statistics(execution_id).model_calls == 1


def test_statistics_count_every_question_once(ledger: Ledger, execution_id: ExecutionId) -> None:
    """An answer asked for before a crash and read after it was asked; one from an earlier run was not."""
    asked_then_read, only_read, failed = (attempt(execution_id, item) for item in ("asked", "read", "failed"))
    again = replace(asked_then_read, id=ActivityId.new(), attempt=2)
    retried = replace(failed, id=ActivityId.new(), attempt=2)
    ledger.record_activities(
        [
            ended(asked_then_read, ActivityStatus.COMPLETED),
            ended(again, ActivityStatus.CACHED),
            ended(only_read, ActivityStatus.CACHED, Usage(2, 0, 7, 7)),
            ended(failed, ActivityStatus.FAILED, Usage(0, 1)),
            ended(retried, ActivityStatus.FAILED, Usage()),
        ]
    )
    expected = ExecutionStatistics(
        model_calls=1, cached_calls=2, embedding_calls=1, input_tokens=100, output_tokens=10, failed_items=1
    )
    assert ledger.statistics(execution_id) == expected


def test_an_answer_whose_recording_was_lost_counts_as_asked(ledger: Ledger, execution_id: ExecutionId) -> None:
    """Killed between storing an answer and recording it, a run has paid for it nonetheless."""
    lost = attempt(execution_id)
    ledger.record_activities([lost])
    ledger.interrupt_running(execution_id)
    ledger.record_activities([ended(replace(lost, id=ActivityId.new(), attempt=2), ActivityStatus.CACHED)])
    statistics = ledger.statistics(execution_id)
    assert (statistics.model_calls, statistics.cached_calls, statistics.input_tokens) == (1, 0, 100)


def test_an_execution_without_attempts_has_no_numbers(ledger: Ledger, execution_id: ExecutionId) -> None:
    """Nothing is counted as nothing, not as null."""
    assert ledger.statistics(execution_id) == ExecutionStatistics()


def test_other_organisations_have_their_own_ledger(
    database: Database, ledger: Ledger, execution_id: ExecutionId
) -> None:
    """An execution's id is no key to it."""
    stranger = Ledger(database, OrganizationId("stranger-ledger"))
    assert stranger.list_executions() == ()
    with pytest.raises(NotFound):
        stranger.load(execution_id)
    with pytest.raises(NotFound):
        stranger.record_activities([attempt(execution_id)])
    assert ledger.load_activities(execution_id) == ()
