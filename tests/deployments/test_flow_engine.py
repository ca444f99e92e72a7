"""What a flow process asks of Prefect's server besides what Prefect's engine asks."""

import asyncio
import inspect
import os
from collections.abc import Generator
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect import flow
from prefect._flow_run_suspension import FlowRunSuspensionRequest
from prefect._internal.pydantic.validated_func import ValidatedFunction
from prefect.client.schemas.objects import FlowRun, State
from prefect.exceptions import ParameterTypeError
from prefect.flow_engine import AsyncFlowRunEngine
from prefect.settings import PREFECT_LOGGING_TO_API_ENABLED, temporary_settings
from prefect.states import Running, Suspended

from deployments import flow_engine
from deployments.flow_engine import observe_suspension, remember_validators


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


class Told:
    """A client that keeps what it was told about runs."""

    def __init__(self) -> None:
        self.changes: list[dict[str, object]] = []

    async def update_flow_run(self, **changes: object) -> None:
        self.changes.append(changes)


@pytest.mark.parametrize(
    ("parameters", "tags", "said"),
    [
        ({"organization": "acme"}, ["x"], {"tags": ["acme", "x"]}),
        ({"organization": "acme"}, ["acme"], {}),
        ({"organization": 7}, [], {}),
        ({}, ["x"], {}),
    ],
)
async def test_a_process_says_what_it_has_to_with_what_the_engine_says_first(
    parameters: dict[str, object], tags: list[str], said: dict[str, object]
) -> None:
    """One request instead of three; what is said later stays as it is."""
    client: Any = Told()
    flow_run = FlowRun(id=uuid4(), flow_id=uuid4(), parameters=parameters, tags=tags)
    flow_engine._introduce(client, flow_run)  # pyright: ignore[reportPrivateUsage]
    await client.update_flow_run(flow_run_id=flow_run.id, flow_version="v")
    await client.update_flow_run(flow_run_id=flow_run.id, name="later")
    assert client.changes == [
        {"flow_run_id": flow_run.id, "flow_version": "v", "infrastructure_pid": str(os.getpid()), **said},
        {"flow_run_id": flow_run.id, "name": "later"},
    ]


async def test_prefects_engine_still_says_a_runs_version_before_it_begins() -> None:
    """It is what the process's number travels with."""
    engine: Any = AsyncFlowRunEngine
    source = inspect.getsource(engine.initialize_run)
    assert source.count("update_flow_run(") == 1
    assert source.index("update_flow_run(") < source.index("yield self")


async def test_the_parameters_of_every_run_are_validated_by_one_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prefect makes the model anew for each run, which takes longer than validating. What it says stays the same."""
    made: list[object] = []

    class Counted(ValidatedFunction):
        def __init__(self, *arguments: Any, **named: Any) -> None:
            made.append(self)
            super().__init__(*arguments, **named)

    @flow
    def doubled(number: int, times: int = 2) -> int:
        return number * times

    @flow
    def other(number: str) -> str:
        return number

    # Put back at the end.
    monkeypatch.setattr("prefect.flows.ValidatedFunction", ValidatedFunction)
    monkeypatch.setattr("deployments.flow_engine.ValidatedFunction", Counted)
    remember_validators.__wrapped__()
    assert doubled.validate_parameters({"number": "3", "times": 2}) == {"number": 3, "times": 2}
    assert doubled.validate_parameters({"number": "4", "times": 3}) == {"number": 4, "times": 3}
    assert len(made) == 1
    with pytest.raises(ParameterTypeError):
        doubled.validate_parameters({"number": "three", "times": 2})
    assert other.validate_parameters({"number": "3"}) == {"number": "3"}
    assert len(made) == 2
