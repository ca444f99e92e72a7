"""What the worker asks the server for: as many runs as it can take, when it can take one."""

import asyncio
import inspect
import re
from collections.abc import Callable, Coroutine
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import anyio
import httpx
import pytest
from prefect.workers.base import BaseWorker

from deployments.flow_processes import ForkingWorker


class _Server:
    """Answers that no run is due, and keeps what it was asked."""

    def __init__(self) -> None:
        self.limits: list[int] = []
        self.asked = anyio.Event()
        self.error: Exception | None = None

    async def request(self, method: str, path: str, **options: Any) -> SimpleNamespace:
        self.limits.append(options["json"]["limit"])
        self.asked.set()
        self.asked = anyio.Event()
        if self.error is not None:
            raise self.error
        return SimpleNamespace(json=list)


@pytest.fixture
async def worker() -> Any:
    made: Any = ForkingWorker(work_pool_name="pool", limit=2)
    made._client, made._limiter, made._has_successfully_synced = _Server(), anyio.CapacityLimiter(2), True
    begun: list[asyncio.Task[None]] = []

    def start_soon(call: Callable[[], Coroutine[Any, Any, None]]) -> None:
        begun.append(asyncio.create_task(call()))

    made._keepers = SimpleNamespace(start_soon=start_soon)
    made._looked_at, made._pool = 0.0, None
    return made


async def test_no_more_runs_are_asked_for_than_there_is_room_for(worker: Any) -> None:
    await worker.get_and_submit_flow_runs()
    worker._limiter.acquire_on_behalf_of_nowait("run")
    await worker.get_and_submit_flow_runs()
    assert worker._client.limits == [2, 1]


async def test_runs_that_are_being_submitted_do_not_hide_those_behind_them(worker: Any) -> None:
    worker._limiter.acquire_on_behalf_of_nowait("run")
    worker._submitting_flow_run_ids.add(uuid4())
    await worker.get_and_submit_flow_runs()
    assert worker._client.limits == [2]


async def test_a_worker_without_room_does_not_ask_but_now_and_then(worker: Any, monkeypatch: Any) -> None:
    for run in "ab":
        worker._limiter.acquire_on_behalf_of_nowait(run)
    await worker.get_and_submit_flow_runs()
    await worker.get_and_submit_flow_runs()
    assert len(worker._client.limits) == 1
    later = anyio.current_time() + 60
    monkeypatch.setattr(anyio, "current_time", lambda: later)
    await worker.get_and_submit_flow_runs()
    assert len(worker._client.limits) == 2


async def test_the_end_of_a_run_makes_it_look_for_another_at_once(worker: Any) -> None:
    run = uuid4()
    worker._limiter.acquire_on_behalf_of_nowait(run)
    asked = worker._client.asked
    worker._release_limit_slot(run)
    with anyio.fail_after(5):
        await asked.wait()
    assert worker._client.limits == [2]


async def test_a_server_that_is_away_then_does_not_end_the_worker(worker: Any) -> None:
    run = uuid4()
    worker._limiter.acquire_on_behalf_of_nowait(run)
    worker._client.error = httpx.ConnectError("away")
    asked = worker._client.asked
    worker._release_limit_slot(run)
    with anyio.fail_after(5):
        await asked.wait()
    worker._client.error = None
    await worker.get_and_submit_flow_runs()
    assert len(worker._client.limits) == 2


async def test_the_number_of_a_process_that_says_it_itself_is_not_said_by_the_worker(worker: Any) -> None:
    """Of other runs it is, and anything else of all of them."""
    told: list[dict[str, Any]] = []

    async def update(flow_run_id: Any, **changes: Any) -> None:
        told.append({"run": flow_run_id, **changes})

    own, other = uuid4(), uuid4()
    worker._client.update_flow_run = update
    worker._leave_numbers_to_processes()
    with worker._introducing_itself(own):
        for run in (own, other):
            await worker.client.update_flow_run(flow_run_id=run, infrastructure_pid="1")
        await worker.client.update_flow_run(flow_run_id=own, name="n")
    await worker.client.update_flow_run(flow_run_id=own, infrastructure_pid="2")
    assert told == [
        {"run": other, "infrastructure_pid": "1"},
        {"run": own, "name": "n"},
        {"run": own, "infrastructure_pid": "2"},
    ]


def test_prefects_worker_still_says_nothing_else_with_the_number() -> None:
    """It would be lost."""
    worker: Any = BaseWorker
    source = inspect.getsource(worker._submit_run)
    (call,) = re.findall(r"client\.update_flow_run\(([^)]*\))", source, re.DOTALL)
    assert re.findall(r"(\w+)=", call) == ["flow_run_id", "infrastructure_pid"]
