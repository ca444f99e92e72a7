"""What a flow process asks of Prefect's server besides what Prefect's engine asks."""

import asyncio
from collections.abc import Generator
from types import SimpleNamespace
from uuid import UUID, uuid4

import httpx
import pytest
from prefect._flow_run_suspension import FlowRunSuspensionRequest
from prefect.client.schemas.objects import State
from prefect.settings import PREFECT_LOGGING_TO_API_ENABLED, temporary_settings
from prefect.states import Running, Suspended

from deployments.flow_engine import observe_suspension


class Server:
    """A client of a server on which the run's states follow each other; None is a request that fails."""

    def __init__(self, *states: State | None) -> None:
        self._states = list(states)
        self.asked = 0

    async def __aenter__(self) -> "Server":
        return self

    async def __aexit__(self, *error: object) -> None:
        pass

    async def read_flow_run(self, flow_run_id: UUID) -> SimpleNamespace:
        state = self._states[min(self.asked, len(self._states) - 1)]
        self.asked += 1
        if state is None:
            raise httpx.ConnectError("away")
        return SimpleNamespace(state=state)


@pytest.fixture(autouse=True)
def alone() -> Generator[None]:
    """What is logged goes to no server."""
    with temporary_settings({PREFECT_LOGGING_TO_API_ENABLED: False}):
        yield


async def _no_time(seconds: float) -> None:
    await asyncio.sleep(0)


async def test_a_run_that_is_suspended_is_told_so_also_after_a_request_that_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Prefect's engine then begins no further task, and ends the process."""
    server, request = Server(Running(), None, Suspended()), FlowRunSuspensionRequest()
    monkeypatch.setattr("deployments.flow_engine.get_client", lambda: server)
    with observe_suspension(uuid4(), request, sleep=_no_time):
        while not request.is_requested():
            await asyncio.sleep(0)
    assert server.asked == 3


async def test_a_run_that_is_over_is_not_asked_for_any_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process would not end."""
    server = Server(Running())
    monkeypatch.setattr("deployments.flow_engine.get_client", lambda: server)
    with observe_suspension(uuid4(), FlowRunSuspensionRequest(), sleep=_no_time):
        while not server.asked:
            await asyncio.sleep(0)
    await asyncio.sleep(0)
    asked = server.asked
    for _ in range(10):
        await asyncio.sleep(0)
    assert server.asked == asked
