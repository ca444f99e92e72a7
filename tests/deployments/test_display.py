"""What a person who watches a run is told."""

from dataclasses import replace
from pathlib import Path

import pytest

from deployments.delivery import Delivered
from deployments.display import print_report, wait_of
from deployments.run import RunReport
from deployments.submission import Submitted
from deployments.watching import Watched
from knowledge.domain import ExecutionStatistics, ExecutionStatus, WorkflowExecutionState
from knowledge.ids import ExecutionId, FlowRunId, OrganizationId

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


def test_only_what_has_a_flow_run_is_said_to_be_in_the_ui(capsys: pytest.CaptureFixture[str]) -> None:
    """A document that was refused has none, and a link to nothing helps nobody."""
    refused = replace(HELD, status=ExecutionStatus.FAILED, error="document 'd' is empty")
    run_id = FlowRunId("0190e2a5-0000-7000-8000-000000000000")
    watched = (
        Watched(Submitted(Path("d.txt"), ACME, refused=refused), refused),
        Watched(Submitted(Path("e.txt"), ACME, flow_run_id=run_id), refused),
    )
    print_report(RunReport(tuple(Delivered(item, None, {}) for item in watched), "http://127.0.0.1:4200"))
    links = [line for line in capsys.readouterr().out.splitlines() if "/runs/flow-run/" in line]
    assert links == [f"run   http://127.0.0.1:4200/runs/flow-run/{run_id}"]


def test_a_graph_with_gaps_is_said_to_have_them(capsys: pytest.CaptureFixture[str]) -> None:
    """Where an endpoint answers nonsense to every question, `completed` and no entities do not tell why."""
    whole = replace(HELD, status=ExecutionStatus.COMPLETED)
    broken = replace(whole, statistics=ExecutionStatistics(failed_items=2))
    watched = (Watched(Submitted(Path("a.txt"), ACME), whole), Watched(Submitted(Path("b.txt"), ACME), broken))
    print_report(RunReport(tuple(Delivered(item, None, {}) for item in watched), None))
    printed = " ".join(capsys.readouterr().out.split())
    assert "b.txt: 2 questions were not answered" in printed
    assert "a.txt:" not in printed
