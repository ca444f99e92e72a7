"""A spend ceiling holds over all processes of an execution, and each resume allows as much again."""

from uuid import uuid4

import pytest

from knowledge.domain import ActivityStatus, Stage, Usage, WorkflowExecutionState
from knowledge.ids import ActivityId, FlowRunId, OrganizationId
from knowledge.settings import SpendSettings
from knowledge.signals import SignalName
from tables.ledger import ActivityRecord, Ledger
from tables.session import Database
from tables.signals import Signals
from tasks.ceiling import CeilingGuard, SpendCeiling

CEILING = SpendCeiling(max_calls=3, max_tokens=None)


@pytest.fixture
def ledger(database: Database, organization_id: OrganizationId) -> Ledger:
    return Ledger(database, organization_id)


@pytest.fixture
def signals(database: Database, organization_id: OrganizationId) -> Signals:
    return Signals(database, organization_id)


@pytest.fixture
def execution(ledger: Ledger) -> WorkflowExecutionState:
    return ledger.open_execution(FlowRunId(str(uuid4())), document_name="d", parameters={}, pid=1, host="h")


def _spend(ledger: Ledger, execution: WorkflowExecutionState, item: str, calls: int) -> None:
    started = execution.started_at
    assert started is not None
    record = ActivityRecord(
        ActivityId.new(),
        execution.id,
        Stage.MENTIONS,
        item,
        1,
        ActivityStatus.COMPLETED,
        started,
        started,
        usage=Usage(model_calls=calls - 1, embedding_calls=1, input_tokens=10),
    )
    ledger.record_activities([record])


async def test_what_earlier_processes_spent_counts(
    ledger: Ledger, signals: Signals, execution: WorkflowExecutionState
) -> None:
    """Chat and embedding calls alike; a kill does not refill the purse."""
    _spend(ledger, execution, "00000", 2)
    meter = await CeilingGuard(CEILING, ledger, signals, execution, was_waiting=False).meter()
    meter.begin_call()
    assert meter.is_exhausted


async def test_a_resume_allows_as_much_again_once(
    ledger: Ledger, signals: Signals, execution: WorkflowExecutionState
) -> None:
    """Also when the process that took it up is killed, and another reads the history."""
    _spend(ledger, execution, "00000", 3)
    guard = CeilingGuard(CEILING, ledger, signals, execution, was_waiting=False)
    assert (await guard.meter()).is_exhausted, "nobody has resumed it"
    signals.send(execution.id, SignalName.RESUME, {}, "somebody")
    assert not (await guard.meter()).is_exhausted
    assert not (await guard.meter()).is_exhausted
    _spend(ledger, execution, "00001", 3)
    assert (await guard.meter()).is_exhausted


async def test_a_resume_in_prefects_ui_becomes_a_signal(
    ledger: Ledger, signals: Signals, execution: WorkflowExecutionState
) -> None:
    """There is no other way out of the held state, so somebody has pressed the button."""
    _spend(ledger, execution, "00000", 3)
    meter = await CeilingGuard(CEILING, ledger, signals, execution, was_waiting=True).meter()
    assert not meter.is_exhausted
    (signal,) = signals.history(execution.id)
    assert (signal.name, signal.sent_by) == (SignalName.RESUME, "Prefect")
    assert signal.acted_at is not None


async def test_a_resume_from_a_pause_raises_nothing(
    ledger: Ledger, signals: Signals, execution: WorkflowExecutionState
) -> None:
    """Below its ceiling a run needs no more, and must not save it up."""
    signals.send(execution.id, SignalName.RESUME, {}, "somebody")
    meter = await CeilingGuard(CEILING, ledger, signals, execution, was_waiting=False).meter()
    for _ in range(3):
        meter.begin_call()
    assert meter.is_exhausted


def test_a_run_may_set_its_own_ceiling_within_the_installations() -> None:
    """What it leaves open, the installation says."""
    installation = SpendSettings(max_calls=100, max_tokens=1000)
    assert SpendCeiling(max_calls=5).within(installation) == SpendCeiling(max_calls=5, max_tokens=1000)
    assert str(SpendCeiling(max_calls=5000, max_tokens=7)) == "5,000 calls and 7 tokens"
