"""Runs held for review on a real stack, and decided from the command line and the UI."""

import asyncio
import json
from collections.abc import Generator
from dataclasses import dataclass
from uuid import UUID

import httpx
import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, LogFilter, LogFilterFlowRunId
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.signalling import Sent, effect_of
from knowledge.domain import ExecutionStatus, WorkflowExecutionState
from knowledge.errors import SignalRefused
from knowledge.ids import ExecutionId, FlowRunId
from knowledge.signals import Signal, SignalName
from tasks.unattended import tend_suspended
from tests.flows.commanded import Commanded, final_state, until
from tests.running_stack import Ran, StackUnderTest
from tests.sample import TEXT, knowing_model
from tests.scripted_endpoint import JSON

pytestmark = pytest.mark.stack

# Recovery may have had a process started before a command comes to it.
_LET_GO = ("the run goes on from its review", "its process acts on it within seconds")
_REVIEWED = ("approved", "rejected", "accepted", "dropped")


@pytest.fixture(scope="module")
def held(shared_stack: StackUnderTest) -> Generator[Commanded]:
    """Four documents, each held for its review, in one command that watches them to their ends."""
    shared_stack.endpoint.answer = knowing_model
    documents = {name: f"{TEXT} This one is to be {name}." for name in _REVIEWED}
    with Commanded.running(shared_stack, "reviewing", "--review", **documents) as command:
        waiting = [ExecutionStatus.WAITING] * len(_REVIEWED)
        until(lambda: [state.status for state in command.executions.values()] == waiting)
        yield command


def test_a_held_run_has_published_nothing_and_has_no_process(stack: StackUnderTest, held: Commanded) -> None:
    """It waits for days if need be, and holds up nobody."""
    assert held.published == set()

    def processes() -> set[int | None]:
        shown = json.loads(stack.command("knowledge", "status", "--json").stdout)
        ours = {state.id for state in held.executions.values()}
        return {run["pid"] for run in shown["flow_runs"] if run["execution_id"] in ours}

    until(lambda: processes() == {None})


def tend(held: Commanded, execution: WorkflowExecutionState) -> str | None:
    """What whoever finds the suspended run does for it."""
    assert execution.flow_run_id is not None

    async def tended(flow_run_id: FlowRunId) -> str | None:
        async with get_client() as client:
            return await tend_suspended(client, held.signals, execution.id, flow_run_id)

    with temporary_settings({PREFECT_API_URL: held.stack.running.api_url}):
        return asyncio.run(tended(execution.flow_run_id))


def followed(held: Commanded, execution: WorkflowExecutionState, signal: Signal) -> str:
    """What the signal's sender is told, whose command saw the execution in this state."""
    with temporary_settings({PREFECT_API_URL: held.stack.running.api_url}):
        return asyncio.run(effect_of(held.stack.database, execution, signal))


def test_a_suspended_run_whose_process_died_too_early_is_shown_to_wait(held: Commanded) -> None:
    """Between Prefect and the execution's row lies a moment in which a process can die."""
    execution = held.executions["rejected"]
    held.signals.show(execution.id, ExecutionStatus.RUNNING)
    assert tend(held, execution) is None
    assert held.executions["rejected"].status is ExecutionStatus.WAITING


@dataclass(frozen=True)
class Decided:
    """Four decisions as they were sent, at once; the executions have ended."""

    command: Commanded
    approval: Ran
    misfit: JSON
    cancellation: Sent

    def execution(self, document: str) -> WorkflowExecutionState:
        """How the document's execution ended."""
        return self.command.executions[document]

    def decision(self, document: str) -> Signal:
        """The one signal it was sent."""
        (signal,) = self.command.signals.history(self.execution(document).id)
        return signal


@pytest.fixture(scope="module")
def decided(shared_stack: StackUnderTest, held: Commanded) -> Decided:
    """Approved with the command, rejected by a command that died at once, approved as in Prefect's UI, cancelled."""
    shared_stack.endpoint.requests.clear()
    approved, rejected, accepted, dropped = (held.executions[name] for name in _REVIEWED)
    rejection = held.signals.send(rejected.id, SignalName.REJECT, {"comment": "too thin"}, "ada")
    # The stack's own recovery may be quicker than this one.
    assert tend(held, rejected) in {None, "the run goes on from its review"}
    # Both were quicker than the sender, who is told the same; or a process has taken the run up in between.
    assert followed(held, rejected, rejection) in _LET_GO
    form = f"{shared_stack.running.api_url}/flow_runs/{accepted.flow_run_id}/resume"
    misfit = httpx.post(form, json={"run_input": {"decision": "perhaps"}}).json()
    httpx.post(form, json={"run_input": {"decision": "approve", "comment": "from the form"}}).raise_for_status()
    arguments = (approved.id, "approve", '{"comment": "well read"}', "--organization", held.organization_id)
    approval = shared_stack.command("knowledge", "signal", *arguments)
    cancellation = held.signal(dropped, "cancel")
    until(lambda: all(state.status.is_final for state in held.executions.values()))
    return Decided(held, approval, misfit, cancellation)


def test_an_approved_run_is_published_without_asking_anything_again(stack: StackUnderTest, decided: Decided) -> None:
    """The decision resumes the run, which goes on from what it had; it is not a restart."""
    assert (decided.approval.exit_code, any(text in decided.approval.stdout for text in _LET_GO)) == (0, True)
    assert decided.command.published == {"approved", "accepted"}
    execution, decision = decided.execution("approved"), decided.decision("approved")
    assert (execution.status, execution.resumes) == (ExecutionStatus.COMPLETED, 0)
    assert (decision.outcome, decision.reason) == ("approved", "well read")
    assert not stack.endpoint.requests


async def test_a_run_in_two_processes_shows_one_of_everything(decided: Decided, client: PrefectClient) -> None:
    """A summary with entities and a link that leads to the report; a bar that is full, if it lasted; a short story."""
    execution = decided.execution("approved")
    mine = FlowRunFilterId(any_=[UUID(execution.flow_run_id or "")])
    shown = await client.read_artifacts(flow_run_filter=FlowRunFilter(id=mine))
    data = {(artifact.key or "").rpartition("-")[0]: artifact.data for artifact in shown}
    assert len(data) == len(shown)
    assert data.keys() - {"progress"} == {"summary"}
    assert data.get("progress", 100.0) == 100.0
    summary = str(data["summary"])
    assert "knowledge report exe_" in summary
    assert "| Ada Brandt |" in summary
    page = httpx.get(summary.partition("[The report](")[2].partition(")")[0])
    assert (page.status_code, "sandbox" in page.headers["Content-Security-Policy"]) == (200, True)
    assert "Ada Brandt" in page.text
    run = await client.read_flow_run(UUID(execution.flow_run_id or ""))
    assert (run.name, decided.command.organization_id in run.tags) == ("approved", True)
    logs = await client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id])))
    told = [log.message for log in logs if log.name == "prefect.flow_runs"]
    assert len(told) < 30, told
    assert not [log.message for log in logs if "prefect.task_runs" in log.name]


def test_a_report_that_does_not_exist_is_not_found(stack: StackUnderTest, decided: Decided) -> None:
    """Another organisation's execution neither: an id is no key to it."""
    execution = decided.execution("approved")
    reports = stack.running.ui_url + "/reports"
    for address in (f"stranger/{execution.id}", f"acme/{ExecutionId.new()}", "acme/no-such", "No%20Such/exe_1"):
        assert httpx.get(f"{reports}/{address}").status_code == 404, address


def test_a_rejected_run_ends_with_the_reviewers_reason(decided: Decided) -> None:
    """Nothing of it is published; a second opinion comes too late."""
    execution = decided.execution("rejected")
    assert (execution.status, execution.error) == (ExecutionStatus.CANCELLED, "rejected by review: too thin")
    with pytest.raises(SignalRefused, match="is cancelled since"):
        decided.command.signal(execution, "approve")


async def test_a_run_can_be_approved_in_prefects_ui(decided: Decided, client: PrefectClient) -> None:
    """The form's answer becomes a signal like any other; an answer that does not fit the form changes nothing."""
    assert decided.misfit["status"] == "REJECT"
    decision = decided.decision("accepted")
    assert (decision.name, decision.sent_by, decision.outcome) == (SignalName.APPROVE, "Prefect", "approved")
    assert decision.reason == "from the form"
    assert (await final_state(client, decided.execution("accepted"))).is_completed()


async def test_a_held_run_can_be_cancelled(decided: Decided, client: PrefectClient) -> None:
    """No process is there to do it, so the command does, at once, on both sides."""
    assert decided.cancellation.effect == "cancelled"
    execution = decided.execution("dropped")
    assert execution.status is ExecutionStatus.CANCELLED
    assert (await final_state(client, execution)).name == "Cancelled"


def test_a_command_whose_documents_were_not_all_approved_says_so(decided: Decided) -> None:
    """It waited for all four decisions; two documents were published."""
    ran = decided.command.finish()
    assert ran.exit_code == 1
    assert [execution["status"] for execution in ran.executions] == ["completed", "cancelled", "completed", "cancelled"]
