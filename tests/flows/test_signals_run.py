"""Signals to runs on a real stack: paused, cancelled, held for review and decided, from the command line and the UI."""

import asyncio
import json
import socket
import subprocess
import threading
import time
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, LogFilter, LogFilterFlowRunId
from prefect.client.schemas.objects import State
from prefect.flow_runs import asuspend_flow_run
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Scheduled

from deployments.signalling import Sent, effect_of, send_signal
from knowledge.domain import ExecutionStatus, Stage, WorkflowExecutionState
from knowledge.errors import SignalRefused
from knowledge.ids import ExecutionId, FlowRunId, OrganizationId
from knowledge.settings import Settings
from knowledge.signals import Signal, SignalName
from tables.graph_store import latest_extractions
from tables.ledger import Ledger
from tables.signals import Signals
from tasks.starting import DEPLOYMENT
from tasks.unattended import tend_suspended
from tests.running_stack import BIN, Ran, StackUnderTest
from tests.sample import TEXT, knowing_model
from tests.scripted_endpoint import JSON, Reply

pytestmark = pytest.mark.stack

_PATIENCE_SECONDS = 150
_CALLS_AT_ONCE = 8
_LONG = TEXT + "".join(f"\n\nIn Oslo Brandt saw it. {f'Line {n} of the chronicle is here. ' * 80}" for n in range(18))
# Recovery may have had a process started before a command comes to it.
_LET_GO = ("the run goes on from its review", "its process acts on it within seconds")
_REVIEWED = ("approved", "rejected", "accepted", "dropped")


def until(holds: Callable[[], bool]) -> None:
    """Returns when it holds; fails when it takes minutes."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@dataclass
class Commanded:
    """`knowledge run` going on in the background, for an organisation of its own."""

    stack: StackUnderTest
    organization_id: OrganizationId
    process: "subprocess.Popen[str]"

    @classmethod
    @contextmanager
    def running(
        cls, stack: StackUnderTest, organization: str, *arguments: str, **documents: str
    ) -> Generator["Commanded"]:
        """The command for these documents, given by name and text; ended with the block if it is not over."""
        files = [str(stack.write(f"{name}.txt", text)) for name, text in documents.items()]
        options = ("--ontology", str(stack.ontology), "--organization", organization, "--json", *arguments)
        process = subprocess.Popen(
            [str(BIN / "knowledge"), "run", *files, *options],
            cwd=stack.home,
            env=stack.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield cls(stack, OrganizationId(organization), process)
        finally:
            process.kill()
            process.communicate()

    def finish(self) -> Ran:
        """The command at its end."""
        stdout, stderr = self.process.communicate(timeout=_PATIENCE_SECONDS)
        return Ran(self.process.returncode, stdout, stderr)

    @property
    def executions(self) -> dict[str, WorkflowExecutionState]:
        """How the executions stand, by document."""
        return {state.document_name: state for state in self._ledger.list_executions()}

    def completed(self, execution: WorkflowExecutionState, stage: Stage) -> int:
        """How many items of the stage it has completed."""
        progress = self._ledger.load_progress(execution.id)
        return next((step.completed for step in progress if step.stage is stage), 0)

    def signal(self, execution: WorkflowExecutionState, name: str, payload: str = "{}") -> Sent:
        """What `knowledge signal` does."""
        settings = Settings(home=self.stack.home / "state")
        return send_signal(settings, self.organization_id, execution.id, name, payload)

    @property
    def signals(self) -> Signals:
        """The organisation's signals."""
        return Signals(self.stack.database, self.organization_id)

    @property
    def published(self) -> set[str]:
        """The documents that have a published graph."""
        names = {state.id: name for name, state in self.executions.items()}
        return {names[latest.execution_id] for latest in latest_extractions(self.stack.database, self.organization_id)}

    @property
    def _ledger(self) -> Ledger:
        return Ledger(self.stack.database, self.organization_id)


@dataclass
class SlowModel:
    """Answers nothing until it is let go."""

    released: threading.Event

    def __call__(self, path: str, body: JSON) -> Reply:
        self.released.wait(_PATIENCE_SECONDS)
        return knowing_model(path, body)


@pytest.fixture(scope="module")
def slow(shared_stack: StackUnderTest) -> Generator[Commanded]:
    """Two documents in one command, each with as many calls under way as may be, and no answer yet."""
    shared_stack.endpoint.answer = model = SlowModel(threading.Event())
    shared_stack.endpoint.requests.clear()
    with Commanded.running(
        shared_stack, "slowly", chronicle=_LONG, wrong=_LONG.replace("chronicle", "annals")
    ) as command:
        try:
            until(lambda: len(shared_stack.endpoint.requests) == 2 * _CALLS_AT_ONCE)
            yield command
        finally:
            model.released.set()


@pytest.fixture
async def client(stack: StackUnderTest) -> AsyncGenerator[PrefectClient]:
    with temporary_settings({PREFECT_API_URL: stack.running.api_url}):
        async with get_client() as client:
            yield client


async def _prefect_state(client: PrefectClient, execution: WorkflowExecutionState) -> State:
    run = await client.read_flow_run(UUID(execution.flow_run_id))
    assert run.state is not None
    return run.state


def test_a_paused_run_begins_nothing_and_a_cancelled_one_stops(shared_stack: StackUnderTest, slow: Commanded) -> None:
    """Calls of a paused run finish and are kept, those of a cancelled one are not waited for."""
    paused, cancelled = slow.executions["chronicle"], slow.executions["wrong"]
    assert "its process acts on it" in slow.signal(paused, "pause", '{"reason": "needed elsewhere"}').effect
    slow.signal(cancelled, "cancel", '{"reason": "wrong document"}')
    until(lambda: slow.executions["chronicle"].status is ExecutionStatus.PAUSED)
    until(lambda: slow.executions["wrong"].status is ExecutionStatus.CANCELLED)
    shared_stack.endpoint.answer.released.set()  # type: ignore[attr-defined]
    until(lambda: slow.completed(paused, Stage.MENTIONS) == _CALLS_AT_ONCE)
    assert len(shared_stack.endpoint.requests) == 2 * _CALLS_AT_ONCE
    command = ("progress", paused.id, "--json", "--organization", slow.organization_id)
    shown = json.loads(shared_stack.command("knowledge", *command).stdout)
    assert (shown["status"], shown["signals"][0]["outcome"]) == ("paused", "paused")
    assert len(shared_stack.endpoint.requests) == 2 * _CALLS_AT_ONCE


def test_a_resumed_run_ends_as_if_it_had_never_been_paused(shared_stack: StackUnderTest, slow: Commanded) -> None:
    """Nothing is asked twice, and the command that waited reports both documents."""
    slow.signal(slow.executions["chronicle"], "resume")
    ran = slow.finish()
    assert ran.exit_code == 1
    completed, cancelled = ran.executions
    assert completed["status"] == "completed"
    questions = [json.dumps(asked) for asked in shared_stack.endpoint.requests if "chronicle" in json.dumps(asked)]
    assert len(set(questions)) == len(questions)
    assert (cancelled["status"], cancelled["error"].partition(": ")[2]) == ("cancelled", "wrong document")


async def test_a_cancelled_run_is_over_for_everybody(slow: Commanded, client: PrefectClient) -> None:
    """Prefect has the same end with the same reason, and what is sent afterwards is refused."""
    execution = slow.executions["wrong"]
    state = await _final_state(client, execution)
    assert (state.name, state.message) == ("Cancelled", execution.error)
    assert [signal.outcome for signal in slow.signals.history(execution.id)] == ["cancelled"]
    with pytest.raises(SignalRefused, match="is cancelled since"):
        slow.signal(execution, "resume")


async def _final_state(client: PrefectClient, execution: WorkflowExecutionState) -> State:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not (state := await _prefect_state(client, execution)).is_final():
        assert time.monotonic() < deadline, "waited in vain"
    return state


async def test_a_run_suspended_in_prefects_ui_begins_nothing_more_and_goes_on_when_it_is_resumed_there(
    shared_stack: StackUnderTest, client: PrefectClient
) -> None:
    """Whoever knows Prefect and not us stops a run with Prefect's own button."""
    shared_stack.endpoint.answer = model = SlowModel(threading.Event())
    shared_stack.endpoint.requests.clear()
    with Commanded.running(shared_stack, "suspending", chronicle=_LONG) as command:
        await asyncio.to_thread(until, lambda: len(shared_stack.endpoint.requests) == _CALLS_AT_ONCE)
        execution = command.executions["chronicle"]
        id_ = UUID(execution.flow_run_id or "")
        await asuspend_flow_run(flow_run_id=id_, timeout=3600)
        said = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[id_]))
        while not any("is suspended" in log.message for log in await client.read_logs(said)):
            await asyncio.sleep(0.1)
        model.released.set()
        waiting = ExecutionStatus.WAITING
        await asyncio.to_thread(until, lambda: command.executions["chronicle"].status is waiting)
        assert len(shared_stack.endpoint.requests) == _CALLS_AT_ONCE
        assert (await _prefect_state(client, execution)).name == "Suspended"
        httpx.post(f"{shared_stack.running.api_url}/flow_runs/{id_}/resume", json={}).raise_for_status()
        ran = await asyncio.to_thread(command.finish)
    assert (ran.exit_code, ran.executions[0]["resumes"]) == (0, 0)


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
    """A bar that is full, and a summary with entities and a link that leads to the report; and a short story."""
    execution = decided.execution("approved")
    mine = FlowRunFilterId(any_=[UUID(execution.flow_run_id or "")])
    shown = await client.read_artifacts(flow_run_filter=FlowRunFilter(id=mine))
    data = {(artifact.key or "").rpartition("-")[0]: artifact.data for artifact in shown}
    assert len(data) == len(shown)
    assert set(data) == {"progress", "summary"}
    assert data["progress"] == 100.0
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
    assert (await _final_state(client, decided.execution("accepted"))).is_completed()


async def test_a_held_run_can_be_cancelled(decided: Decided, client: PrefectClient) -> None:
    """No process is there to do it, so the command does, at once, on both sides."""
    assert decided.cancellation.effect == "cancelled"
    execution = decided.execution("dropped")
    assert execution.status is ExecutionStatus.CANCELLED
    assert (await _final_state(client, execution)).name == "Cancelled"


async def test_a_run_in_the_queue_can_be_cancelled(slow: Commanded, client: PrefectClient) -> None:
    """Its process is dead and the next not yet started: nothing starts it any more."""
    deployment = await client.read_deployment_by_name(DEPLOYMENT)
    later = Scheduled(scheduled_time=datetime.now(UTC) + timedelta(hours=1))
    parameters = {"document": "doc_0", "ontology": "ont_0"}
    run = await client.create_flow_run_from_deployment(deployment.id, parameters=parameters, state=later)
    ledger = Ledger(slow.stack.database, slow.organization_id)
    opened = ledger.open_execution(
        FlowRunId(str(run.id)), document_name="queued", parameters={}, pid=2**22 - 1, host=socket.gethostname()
    )
    sent = await asyncio.to_thread(slow.signal, opened, "cancel")
    assert sent.effect == "cancelled"
    assert ledger.load(opened.id).status is ExecutionStatus.CANCELLED
    assert (await _final_state(client, opened)).name == "Cancelled"


def test_a_command_whose_documents_were_not_all_approved_says_so(decided: Decided) -> None:
    """It waited for all four decisions; two documents were published."""
    ran = decided.command.finish()
    assert ran.exit_code == 1
    assert [execution["status"] for execution in ran.executions] == ["completed", "cancelled", "completed", "cancelled"]


def test_a_signal_that_cannot_be_sent_is_one_sentence(stack: StackUnderTest) -> None:
    """Nothing is recorded, and the reader is told what was wrong."""
    ran = stack.command("knowledge", "signal", ExecutionId.new(), "cancel")
    assert (ran.exit_code, ran.stderr.count("\n")) == (1, 1)
    assert ran.stderr.startswith("error: there is no execution")
