"""Ends are told once, under an id that does not change."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from knowledge.batches import Batch, BatchCounts, DocumentState, FailurePolicy
from knowledge.domain import ExecutionStatistics, ExecutionStatus, WorkflowExecutionState
from knowledge.ids import BatchId, DocumentId, ExecutionId, FlowRunId, OrganizationId
from tasks import events
from tasks.events import announce_batch_end, announce_end

_STATE = WorkflowExecutionState(
    id=ExecutionId.new(),
    organization_id=OrganizationId("acme"),
    flow_run_id=FlowRunId(str(uuid4())),
    document_id=DocumentId.derive("d"),
    ontology_id=None,
    extraction_id=None,
    document_name="paper",
    status=ExecutionStatus.COMPLETED,
    stage=None,
    error=None,
    resumes=1,
    statistics=ExecutionStatistics(chunks=2),
    pid=None,
    host=None,
    holder=None,
    started_at=None,
    ended_at=datetime(2026, 11, 1, tzinfo=UTC),
)


@pytest.fixture
def emitted(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is given to Prefect."""
    found: list[dict[str, Any]] = []

    def note(**given: Any) -> None:
        found.append(given)

    monkeypatch.setattr(events, "emit_event", note)
    return found


def test_an_end_told_twice_is_one_event_and_another_end_another(emitted: list[dict[str, Any]]) -> None:
    """Receivers can tell."""
    failed = replace(_STATE, status=ExecutionStatus.FAILED, error="no answer")
    for state in (_STATE, _STATE, failed, replace(_STATE, ended_at=datetime(2026, 11, 2, tzinfo=UTC))):
        announce_end(state)
    ids = [event["id"] for event in emitted]
    assert (ids[0] == ids[1], len(set(ids))) == (True, 3)
    assert [event["event"].rpartition(".")[2] for event in emitted] == ["completed", "completed", "failed", "completed"]
    assert emitted[0]["payload"]["statistics"]["chunks"] == 2
    assert emitted[2]["payload"]["error"] == "no answer"
    assert emitted[0]["resource"]["knowledge.organization"] == "acme"


@pytest.mark.parametrize("status", sorted(set(ExecutionStatus) - {ExecutionStatus.COMPLETED, ExecutionStatus.FAILED}))
def test_what_has_not_ended_or_was_cancelled_says_nothing(
    emitted: list[dict[str, Any]], status: ExecutionStatus
) -> None:
    """Who cancelled it knows."""
    announce_end(replace(_STATE, status=status))
    assert emitted == []


def test_a_batch_says_how_its_documents_ended(emitted: list[dict[str, Any]]) -> None:
    """Completed does not mean that all of them did."""
    batch = Batch(
        BatchId.derive("b"), _STATE.organization_id, "in", ("/in",), "/o.ttl", {}, 8, FailurePolicy.CONTINUE, False, 0.0
    )
    counts = BatchCounts({DocumentState.COMPLETED: 3, DocumentState.FAILED: 1}, reused=2, missing=0)
    announce_batch_end(_STATE, batch, counts)
    (event,) = emitted
    assert (event["event"], event["resource"]["prefect.resource.id"]) == (
        "knowledge.batch.completed",
        f"knowledge.batch.{batch.id}",
    )
    assert event["payload"]["statistics"] == {"documents": 4, "completed": 3, "failed": 1, "reused": 2, "missing": 0}
