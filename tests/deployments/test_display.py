"""What a person who watches a run is told."""

from dataclasses import replace
from pathlib import Path

from deployments.display import wait_of
from deployments.submission import Submitted
from deployments.watching import Watched
from knowledge.domain import ExecutionStatistics, ExecutionStatus, WorkflowExecutionState
from knowledge.ids import ExecutionId, OrganizationId

ACME = OrganizationId("acme")
HELD = WorkflowExecutionState(
    ExecutionId.new(),
    ACME,
    flow_run_id=None,
    document_id=None,
    ontology_id=None,
    extraction_id=None,
    document_name="d",
    status=ExecutionStatus.WAITING,
    stage=None,
    error=None,
    resumes=0,
    statistics=ExecutionStatistics(),
    pid=None,
    host=None,
    holder=None,
    started_at=None,
    ended_at=None,
)


def _told(state: WorkflowExecutionState) -> str:
    return wait_of(Watched(Submitted(Path("d.txt"), ACME), state))


def test_a_run_that_is_held_says_what_it_waits_for() -> None:
    """A review is somebody's to decide; an endpoint that is down is nobody's here."""
    assert _told(HELD) == f"waiting for review: knowledge signal {HELD.id} approve|reject --organization acme"
    assert _told(replace(HELD, error="chat endpoint: has been down")) == "waiting: chat endpoint: has been down"
