"""Signals: durable, in order, acted on once, and refused where they can change nothing."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from knowledge.domain import ExecutionStatistics, ExecutionStatus
from knowledge.errors import NotFound, SignalRefused
from knowledge.ids import ExecutionId, FlowRunId, OrganizationId, SignalId
from knowledge.signals import SignalName
from tables.ledger import Ledger
from tables.session import Database
from tables.signals import Signals
from tables.workflow import WorkflowSignal


@pytest.fixture
def ledger(database: Database, organization_id: OrganizationId) -> Ledger:
    """The test's own organisation's ledger."""
    return Ledger(database, organization_id)


@pytest.fixture
def signals(database: Database, organization_id: OrganizationId) -> Signals:
    """The test's own organisation's signals."""
    return Signals(database, organization_id)


@pytest.fixture
def execution_id(ledger: Ledger, flow_run_id: Callable[[], FlowRunId]) -> ExecutionId:
    """A running execution that is reviewed."""
    return ledger.open_execution(flow_run_id(), document_name="d", parameters={"review": True}, pid=1, host="h").id


def test_signals_keep_their_order_and_who_sent_them(
    signals: Signals, execution_id: ExecutionId, database: Database, organization_id: OrganizationId
) -> None:
    """What was sent first is acted on first, and the audit columns say by whom it was sent."""
    pause = signals.send(execution_id, SignalName.PAUSE, {"reason": "lunch\x00"}, "ada@host")
    resume = signals.send(execution_id, SignalName.RESUME, {}, "ben@host")
    assert (pause.number, resume.number) == (1, 2)
    assert signals.history(execution_id) == signals.pending(execution_id) == (pause, resume)
    assert (pause.name, pause.payload, pause.reason) == (SignalName.PAUSE, {"reason": "lunch\ufffd"}, "lunch\ufffd")
    with database.org_session(organization_id) as session:
        authors = list(session.scalars(select(WorkflowSignal.created_by).order_by(WorkflowSignal.number)))
    assert authors == [pause.sent_by, resume.sent_by] == ["ada@host", "ben@host"]


def test_senders_at_the_same_time_get_numbers_of_their_own(signals: Signals, execution_id: ExecutionId) -> None:
    """Nobody's signal is lost because somebody else sent one in that moment."""

    def send(n: int) -> int:
        return signals.send(execution_id, SignalName.PAUSE, {"n": n}, f"sender {n}").number

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(send, range(24))) == list(range(1, 25))


def test_a_signal_is_acted_on_once(signals: Signals, execution_id: ExecutionId) -> None:
    """Of two processes that both saw it, one is told that it was the one."""
    sent = signals.send(execution_id, SignalName.PAUSE, {}, "ada")

    def act(n: int) -> bool:
        return signals.act(sent.id, f"paused by {n}")

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(act, range(8))) == [False] * 7 + [True]
    (acted,) = signals.history(execution_id)
    assert acted.acted_at is not None
    assert (acted.outcome or "").startswith("paused by")
    assert signals.pending(execution_id) == ()
    assert not signals.act(SignalId.new(), "nothing")


def test_an_unknown_execution_is_not_found(signals: Signals, database: Database, execution_id: ExecutionId) -> None:
    """Nor is another organisation's."""
    with pytest.raises(NotFound, match="execution"):
        signals.send(ExecutionId.new(), SignalName.CANCEL, {}, "ada")
    with pytest.raises(NotFound, match=execution_id):
        Signals(database, OrganizationId("stranger")).send(execution_id, SignalName.CANCEL, {}, "eve")


def test_an_unknown_signal_is_refused_with_the_known_ones() -> None:
    """A mistyped name is told at once."""
    with pytest.raises(SignalRefused, match=r"'stop' is not a signal: .* cancel, pause, resume, approve, reject"):
        SignalName.of("stop")


def test_a_finished_execution_takes_no_signals(signals: Signals, ledger: Ledger, execution_id: ExecutionId) -> None:
    """Instead of recording what will never be acted on."""
    ledger.close_execution(execution_id, ExecutionStatus.COMPLETED, None, ExecutionStatistics())
    with pytest.raises(SignalRefused, match=f"{execution_id} is completed since 2"):
        signals.send(execution_id, SignalName.CANCEL, {}, "ada")


def test_a_decision_is_taken_once_and_only_where_there_is_a_review(
    signals: Signals, ledger: Ledger, execution_id: ExecutionId, flow_run_id: Callable[[], FlowRunId]
) -> None:
    """A second reviewer learns who was first; a run without review has nothing to approve."""
    signals.send(execution_id, SignalName.APPROVE, {}, "ada")
    with pytest.raises(SignalRefused, match="is decided: ada sent approve at 2"):
        signals.send(execution_id, SignalName.REJECT, {}, "ben")
    plain = ledger.open_execution(flow_run_id(), document_name="d", parameters={}, pid=1, host="h")
    with pytest.raises(SignalRefused, match="was not started with review"):
        signals.send(plain.id, SignalName.APPROVE, {}, "ada")


def test_cancelling_ends_an_execution_and_its_signals_together(
    signals: Signals, ledger: Ledger, execution_id: ExecutionId
) -> None:
    """No crash can leave a cancelled execution with a signal still to act on; and an end is not ended again."""
    signals.send(execution_id, SignalName.PAUSE, {}, "ada")
    signals.send(execution_id, SignalName.CANCEL, {}, "ada")
    assert signals.cancel(execution_id, "cancelled by ada")
    ended = ledger.load(execution_id)
    assert (ended.status, ended.error) == (ExecutionStatus.CANCELLED, "cancelled by ada")
    assert ended.ended_at is not None
    assert ended.statistics.seconds > 0
    assert [signal.outcome for signal in signals.history(execution_id)] == ["cancelled", "cancelled"]
    assert not signals.cancel(execution_id, "again")
    assert ledger.load(execution_id) == ended


def test_a_status_is_shown_until_the_execution_ends(
    signals: Signals, ledger: Ledger, execution_id: ExecutionId
) -> None:
    """A paused or waiting run says so, and one that is over stays over."""
    signals.show(execution_id, ExecutionStatus.WAITING)
    assert ledger.load(execution_id).status is ExecutionStatus.WAITING
    ledger.close_execution(execution_id, ExecutionStatus.FAILED, "no", ExecutionStatistics())
    signals.show(execution_id, ExecutionStatus.RUNNING)
    assert ledger.load(execution_id).status is ExecutionStatus.FAILED


def test_waiting_for_a_review_is_no_resume(
    signals: Signals, ledger: Ledger, flow_run_id: Callable[[], FlowRunId]
) -> None:
    """The process that goes on after a review replaces nobody who died: only recovery counts resumes."""
    run = flow_run_id()
    first = ledger.open_execution(run, document_name="d", parameters={}, pid=1, host="h")
    signals.show(first.id, ExecutionStatus.WAITING)
    again = ledger.open_execution(run, document_name="d", parameters={}, pid=2, host="h")
    assert (again.id, again.status, again.resumes) == (first.id, ExecutionStatus.RUNNING, 0)
