"""Runs whose endpoint is down for longer than they wait, or that have spent what they may: held, and gone on with."""

import asyncio
import time

import pytest
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.status import known_endpoints
from knowledge.domain import ExecutionStatus, WorkflowExecutionState
from knowledge.ids import OrganizationId
from knowledge.signals import SignalName
from tables.ledger import Ledger
from tables.signals import Signals
from tests.flows.commanded import Commanded, until
from tests.running_stack import StackUnderTest
from tests.sample import TEXT, knowing_model
from tests.scripted_endpoint import JSON, Reply

pytestmark = pytest.mark.stack


def _execution(stack: StackUnderTest, organization: str) -> WorkflowExecutionState | None:
    found = Ledger(stack.database, OrganizationId(organization)).list_executions()
    return found[0] if found else None


def _has_status(stack: StackUnderTest, organization: str, status: ExecutionStatus) -> bool:
    execution = _execution(stack, organization)
    return execution is not None and execution.status is status


def test_a_run_whose_endpoint_stays_down_gives_its_worker_back_and_resumes_by_itself(stack: StackUnderTest) -> None:
    """It waits in the queue, says why, uses up no attempts while it waits, and pays for nothing twice."""
    is_down = True

    def answer(path: str, body: JSON) -> Reply:
        return Reply({"error": {"message": "out of order"}}, 503) if is_down else knowing_model(path, body)

    stack.endpoint.answer = answer
    with Commanded.running(stack, "outage", brandt=TEXT) as commanded:
        until(lambda: _has_status(stack, "outage", ExecutionStatus.WAITING))
        execution = _execution(stack, "outage")
        assert execution is not None
        assert execution.error is not None
        assert "has been down" in execution.error
        assert execution.error.endswith("; the run is set aside, and goes on by itself when the endpoint answers")
        (endpoint,) = [found for found in known_endpoints(stack.running.database_url) if found.circuit == "open"]
        assert endpoint.endpoint == "chat endpoint for scripted"
        asked = len(stack.endpoint.requests)
        assert asked < 12
        is_down = False
        ran = commanded.finish()
    assert ran.exit_code == 0, ran.stderr
    (finished,) = ran.executions
    assert (finished["status"], finished["resumes"]) == ("completed", 0)
    assert finished["stats"]["model_calls"] == 1
    until(lambda: all(found.circuit == "closed" for found in known_endpoints(stack.running.database_url)))


def test_a_run_that_has_spent_what_it_may_is_held_until_it_is_resumed(stack: StackUnderTest) -> None:
    """With all that it has; each resume allows as much again, and what was answered is not asked again."""
    with Commanded.running(stack, "thrifty", "--max-calls", "1", brandt=TEXT) as commanded:
        until(lambda: _has_status(stack, "thrifty", ExecutionStatus.WAITING))
        execution = _execution(stack, "thrifty")
        assert execution is not None
        assert execution.error is not None
        assert "the spend ceiling of 1 call is reached" in execution.error
        assert execution.flow_run_id is not None
        assert len(stack.endpoint.requests) == 1
        assert _state_name(stack, execution.flow_run_id) == "Suspended"
        sent = stack.command("knowledge", "signal", execution.id, "resume", "--organization", "thrifty")
        assert sent.exit_code == 0, sent.stderr
        ran = commanded.finish()
    assert ran.exit_code == 0, ran.stderr
    (finished,) = ran.executions
    assert finished["status"] == "completed"
    assert finished["stats"]["model_calls"] + finished["stats"]["embedding_calls"] == 2
    assert len(stack.endpoint.requests) == 2
    (signal,) = Signals(stack.database, OrganizationId("thrifty")).history(execution.id)
    assert (signal.name, signal.outcome) == (SignalName.RESUME, "raised the spend ceiling by as much again")


def _state_name(stack: StackUnderTest, flow_run_id: str) -> str:
    async def read() -> str:
        async with get_client() as client:
            deadline = time.monotonic() + 20
            while (state := (await client.read_flow_run(flow_run_id)).state) is None or not state.is_paused():  # pyright: ignore[reportArgumentType]
                assert time.monotonic() < deadline, "not suspended"
                await asyncio.sleep(0.05)
            return state.name or ""

    with temporary_settings({PREFECT_API_URL: stack.running.api_url}):
        return asyncio.run(read())
