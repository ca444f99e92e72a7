"""Signals to runs on a real stack: paused, suspended and cancelled, from the command line and the UI."""

import asyncio
import json
import socket
import threading
from collections.abc import Generator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
import pytest
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId
from prefect.flow_runs import asuspend_flow_run
from prefect.states import Scheduled

from knowledge.domain import ExecutionStatus, Stage
from knowledge.errors import SignalRefused
from knowledge.ids import ExecutionId, FlowRunId
from tables.ledger import Ledger
from tasks.starting import DEPLOYMENT
from tests.flows.commanded import Commanded, final_state, prefect_state, until
from tests.running_stack import StackUnderTest
from tests.sample import TEXT, knowing_model
from tests.scripted_endpoint import JSON, Reply

pytestmark = pytest.mark.stack

_PATIENCE_SECONDS = 150
_CALLS_AT_ONCE = 8
_LONG = TEXT + "".join(f"\n\nIn Oslo Brandt saw it. {f'Line {n} of the chronicle is here. ' * 80}" for n in range(18))


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
    state = await final_state(client, execution)
    assert (state.name, state.message) == ("Cancelled", execution.error)
    assert [signal.outcome for signal in slow.signals.history(execution.id)] == ["cancelled"]
    with pytest.raises(SignalRefused, match="is cancelled since"):
        slow.signal(execution, "resume")


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
        assert (await prefect_state(client, execution)).name == "Suspended"
        httpx.post(f"{shared_stack.running.api_url}/flow_runs/{id_}/resume", json={}).raise_for_status()
        ran = await asyncio.to_thread(command.finish)
    assert (ran.exit_code, ran.executions[0]["resumes"]) == (0, 0)


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
    assert (await final_state(client, opened)).name == "Cancelled"


def test_a_signal_that_cannot_be_sent_is_one_sentence(stack: StackUnderTest) -> None:
    """Nothing is recorded, and the reader is told what was wrong."""
    ran = stack.command("knowledge", "signal", ExecutionId.new(), "cancel")
    assert (ran.exit_code, ran.stderr.count("\n")) == (1, 1)
    assert ran.stderr.startswith("error: there is no execution")
