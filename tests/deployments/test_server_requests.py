"""What Prefect's server does less for workers and flow processes: they are answered as before."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect.server.api.server import create_app
from prefect.server.database import provide_database_interface
from prefect.server.database.configurations import AioSqliteConfiguration
from prefect.server.database.dependencies import temporary_database_config
from prefect.server.events.messaging import EventPublisher
from prefect.server.models import events as state_events
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL, temporary_settings
from sqlalchemy import event
from sqlalchemy.engine import Engine
from starlette.routing import Mount

from deployments import server_requests
from deployments.server_costs import spare
from deployments.server_requests import NOTED_SECONDS


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Generator[Any]:
    """The spared app, on a database of its own: also where another app was made in this process before."""
    file = tmp_path_factory.mktemp("prefect") / "prefect.db"
    url = f"sqlite+aiosqlite:///{file}"
    with (
        temporary_settings({PREFECT_API_DATABASE_CONNECTION_URL: url}),
        temporary_database_config(AioSqliteConfiguration(connection_url=url)),
    ):
        app = create_app(ephemeral=True, ignore_cache=True)
        spare(app)
        asyncio.run(provide_database_interface().create_db())
        mounted: Any = next(mount.app for mount in app.routes if isinstance(mount, Mount) and mount.path == "/api")
        # Its lifespan would make one.
        mounted.state.docket = _Docket()
        yield mounted


@pytest.fixture
async def client(api: Any) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(api), base_url="http://local") as made:
        yield made


@contextmanager
def _read() -> Generator[list[str]]:
    """The tables that are read while the block lasts."""
    found: list[str] = []

    def note(*execution: Any) -> None:
        statement: str = execution[2]
        if statement.startswith("SELECT"):
            found.append(statement.partition("FROM ")[2].split()[0])

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)


async def _post(client: httpx.AsyncClient, path: str, **body: Any) -> Any:
    return (await client.post(path, json=body)).raise_for_status().json()


async def _deployed(client: httpx.AsyncClient, pool: str) -> str:
    await _post(client, "/work_pools/", name=pool, type="process")
    flow = await _post(client, "/flows/", name="flow")
    deployment = await _post(client, "/deployments/", name=pool, flow_id=flow["id"], work_pool_name=pool)
    return deployment["id"]


async def test_a_change_of_state_reads_neither_queue_nor_pool_nor_schedules(client: httpx.AsyncClient) -> None:
    """Its rules do not look at them."""
    deployment = await _deployed(client, "pool")
    created = await _post(client, f"/deployments/{deployment}/create_flow_run")
    assert created["work_pool_name"] == "pool"
    for kind in ("PENDING", "RUNNING", "COMPLETED"):
        with _read() as tables:
            set_ = await _post(client, f"/flow_runs/{created['id']}/set_state", state={"type": kind})
        assert (set_["status"], set_["state"]["type"]) == ("ACCEPT", kind)
        assert not {"work_queue", "work_pool", "deployment_schedule"} & set(tables)
    run = (await client.get(f"/flow_runs/{created['id']}")).json()
    assert (run["state_type"], run["run_count"], run["work_pool_name"]) == ("COMPLETED", 1, "pool")


async def test_a_run_is_read_with_its_state_queue_and_pool_at_once(client: httpx.AsyncClient) -> None:
    deployment = await _deployed(client, "at-once")
    created = await _post(client, f"/deployments/{deployment}/create_flow_run")
    with _read() as tables:
        run = (await client.get(f"/flow_runs/{created['id']}")).json()
    assert (run["state"]["type"], run["work_queue_name"], run["work_pool_name"]) == ("SCHEDULED", "default", "at-once")
    assert tables == ["flow_run"]
    with _read() as tables:
        await _post(client, f"/deployments/{deployment}/create_flow_run")
    assert not {"work_queue", "work_pool"} & set(tables)


async def test_the_event_of_a_change_of_state_names_what_is_not_loaded_for_it(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a restart of the server, which otherwise remembers what a run's events name."""
    deployment = await _deployed(client, "named")
    created = await _post(client, f"/deployments/{deployment}/create_flow_run")
    module: Any = state_events
    module._flow_run_resource_data_cache.clear()
    emitted: list[Any] = []

    async def note(self: object, sent: Any) -> None:
        emitted.append(sent)

    monkeypatch.setattr(EventPublisher, "publish_event", note)
    for state in ({"type": "PENDING"}, {"type": "SCHEDULED", "name": "AwaitingRetry"}, {"type": "CANCELLING"}):
        await _post(client, f"/flow_runs/{created['id']}/set_state", state=state, force=True)
    named = {related["prefect.resource.role"]: related.name for event_ in emitted for related in event_.related}
    assert (named["work-pool"], named["work-queue"], named["deployment"]) == ("named", "default", "named")
    assert len(emitted) == 3


async def test_a_deployments_own_limit_is_still_held(client: httpx.AsyncClient) -> None:
    """Its rule is the one that reads the deployment."""
    deployment = await _deployed(client, "limited")
    (await client.patch(f"/deployments/{deployment}", json={"concurrency_limit": 1})).raise_for_status()
    runs = [await _post(client, f"/deployments/{deployment}/create_flow_run") for _ in range(2)]
    pending = [await _post(client, f"/flow_runs/{run['id']}/set_state", state={"type": "PENDING"}) for run in runs]
    assert [answer["status"] for answer in pending] == ["ACCEPT", "REJECT"]


async def test_logs_are_stored_whatever_their_number(client: httpx.AsyncClient) -> None:
    """Also such as PostgreSQL would refuse."""
    flow_run = str(uuid4())
    for number in (1, 3):
        sent = [
            {
                "name": "n",
                "level": 20,
                "message": f"{number} {each}\x00",
                "timestamp": "2026-03-29T01:30:00Z",
                "flow_run_id": flow_run,
            }
            for each in range(number)
        ]
        (await client.post("/logs/", json=sent)).raise_for_status()
    found = await _post(client, "/logs/filter", logs={"flow_run_id": {"any_": [flow_run]}})
    assert sorted(log["message"] for log in found) == ["1 0", "3 0", "3 1", "3 2"]
    assert {(log["name"], log["level"], log["task_run_id"]) for log in found} == {("n", 20, None)}


class _Docket:
    """What it is told to do."""

    def __init__(self) -> None:
        self.added: list[tuple[str, dict[str, Any]]] = []

    def add(self, task: Any, *, key: str) -> Any:
        async def schedule(**about: Any) -> None:
            self.added.append((key, about))

        return schedule


async def test_a_look_for_runs_is_noted_now_and_then_and_at_once_when_it_is_of_another_kind() -> None:
    now = 0.0
    docket, noted = _Docket(), dict[str, tuple[float, object]]()

    async def look(**about: Any) -> None:
        seldom = server_requests._Seldom(docket, noted, lambda: now)  # pyright: ignore[reportPrivateUsage]
        await seldom.add(look, key="pool")(**about)

    await look(queues=["a"])
    now = NOTED_SECONDS - 1
    await look(queues=["a"])
    await look(queues=["a"])
    assert docket.added == [("pool", {"queues": ["a"]})]
    await look(queues=["b"])
    assert len(docket.added) == 2
    now = 2 * NOTED_SECONDS
    await look(queues=["b"])
    assert len(docket.added) == 3


async def test_a_worker_that_looks_often_is_noted_once(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The route that workers ask is the one that notes seldom."""
    await _deployed(client, "looked at")
    made: list[_Docket] = []

    class Docket(server_requests._Seldom):  # pyright: ignore[reportPrivateUsage]
        def __init__(self, docket: Any, noted: Any) -> None:
            made.append(_Docket())
            super().__init__(made[-1], noted)

    monkeypatch.setattr(server_requests, "_Seldom", Docket)
    for _ in range(3):
        assert await _post(client, "/work_pools/looked at/get_scheduled_flow_runs", work_queue_names=["default"]) == []
    assert [len(docket.added) for docket in made] == [2, 0, 0]
