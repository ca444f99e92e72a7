"""A whole stack, for real: started, killed in every part, provisioned and stopped."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Callable, Generator
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate, GlobalConcurrencyLimitUpdate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterId
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.database_urls import socket_urls
from deployments.home import StackHome
from deployments.parts import DatabaseRule
from deployments.processes import ProcessIdentity, stack_processes
from deployments.provision import DATABASE_BLOCK, EMBEDDING_LIMIT, provision
from deployments.stack import RunningStack, running_stack, start_in_background, stop_stack
from deployments.state import StackState, read_state
from deployments.status import stack_status
from knowledge.settings import Settings
from tests.running_stack import finish_telling

pytestmark = pytest.mark.stack

_ROOT = Path(__file__).parents[2]
_PATIENCE_SECONDS = 60.0


def _ignore(message: str) -> None:
    """Nobody needs to be told."""


@pytest.fixture(scope="module")
def settings() -> Generator[Settings]:
    """The settings of a stack that runs in a home of its own, as if nothing else were configured."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory, pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("KNOWLEDGE_", "PREFECT_"))]:
            patch.delenv(name)
        settings = Settings(home=Path(directory) / "state")
        try:
            start_in_background(settings, _ignore)
            yield settings
        finally:
            finish_telling()
            stop_stack(settings)


def _stack(settings: Settings) -> RunningStack:
    stack = running_stack(settings)
    assert stack is not None
    return stack


def _state(settings: Settings) -> StackState:
    return read_state(StackHome.of(settings).state_file)


def _process(settings: Settings, part: str) -> ProcessIdentity:
    process = _state(settings).process(part)
    assert process is not None, part
    return process


def _eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        # The stack's processes tell nobody here what they do.
        time.sleep(0.05)


@pytest.fixture
async def client(settings: Settings) -> AsyncGenerator[PrefectClient]:
    """A client of the stack's server."""
    with temporary_settings({PREFECT_API_URL: _stack(settings).api_url}):
        async with get_client() as client:
            yield client


def test_a_second_start_finds_the_first(settings: Settings) -> None:
    """`up` and `run` may be called at any time, by anybody, twice."""
    before = _state(settings)
    assert not start_in_background(settings, _ignore).started_here
    assert _state(settings) == before
    done = subprocess.run(
        [sys.executable, "-m", "deployments.cli", "up"],
        env={**os.environ, "KNOWLEDGE_HOME": str(settings.home)},
        capture_output=True,
        text=True,
        check=True,
        timeout=_PATIENCE_SECONDS,
    )
    assert done.stdout == f"export PREFECT_API_URL={_stack(settings).api_url}\n"


def test_status_names_the_processes_that_run(settings: Settings) -> None:
    """Other tools read pids from it, and kill by them."""
    status = stack_status(settings).as_json()
    assert list(status) == ["postgres", "server", "worker", "recovery", "flow_runs", "endpoints"]
    pids = {part: _process(settings, part).pid for part in ("postgres", "server", "worker", "recovery")}
    assert status["postgres"] == {"pid": pids["postgres"]}
    assert status["server"] == {"pid": pids["server"], "url": _stack(settings).api_url}
    assert status["worker"] == {"pid": pids["worker"]}
    assert (status["recovery"], status["flow_runs"]) == ({"pid": pids["recovery"]}, ())


def test_nothing_listens_beyond_this_machine(settings: Settings) -> None:
    """Neither server nor database asks for a password."""
    for part in ("postgres", "server", "worker", "recovery"):
        for connection in psutil.Process(_process(settings, part).pid).net_connections("inet"):
            assert connection.laddr.ip in {"127.0.0.1", "::1"}


def _prefect(settings: Settings, *arguments: str) -> None:
    subprocess.run(
        [Path(sys.executable).parent / "prefect", *arguments],
        cwd=_ROOT,
        env={**os.environ, "PREFECT_API_URL": _stack(settings).api_url},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=_PATIENCE_SECONDS,
    )


def _schedules(deployment: DeploymentResponse) -> list[tuple[str | None, object]]:
    """Without the moment of the deployment, from which the intervals are counted."""
    return [(each.slug, each.schedule.model_dump(exclude={"anchor_date"})) for each in deployment.schedules]


async def test_prefect_deploy_registers_exactly_what_the_stack_did(settings: Settings, client: PrefectClient) -> None:
    """prefect.yaml is the one source, whoever reads it."""
    flows = ("extraction", "extraction-batch", "answer", "indexing", "recovery", "inbox", "retention")
    names = [f"{flow}/default" for flow in flows]
    before = [await client.read_deployment_by_name(name) for name in names]
    await asyncio.to_thread(_prefect, settings, "deploy", "--all")
    after = [await client.read_deployment_by_name(name) for name in names]
    changing = {"updated", "last_polled", "status", "schedules"}
    for ours, theirs in zip(before, after, strict=True):
        assert theirs.model_dump(exclude=changing) == ours.model_dump(exclude=changing)
        assert (theirs.pull_steps, theirs.path) == ([], None)
        assert str(_ROOT) not in theirs.model_dump_json()
        assert _schedules(theirs) == _schedules(ours)
    # The stack has a part that does what recovery's schedule is for; an inbox is to be given a folder first.
    switched: list[list[bool]] = [[], [], [], [], [False], [False], [True]]
    assert [[each.active for each in deployment.schedules] for deployment in before] == switched
    assert [[each.active for each in deployment.schedules] for deployment in after[-2:]] == switched[-2:]


async def test_provisioning_again_leaves_what_an_operator_changed(client: PrefectClient, settings: Settings) -> None:
    """It happens at every start of a worker."""
    database_url = _stack(settings).database_url
    slots = GlobalConcurrencyLimitUpdate(limit=9)
    await client.update_global_concurrency_limit(EMBEDDING_LIMIT, slots)
    await provision(client, database_url=database_url, rule=DatabaseRule.EMBEDDED)
    assert (await client.read_global_concurrency_limit_by_name(EMBEDDING_LIMIT)).limit == 9

    moved, entered = socket_urls(Path("/moved")).knowledge, "postgresql+psycopg://u@db.example/graphs"
    for url, rule, expected in (
        (moved, DatabaseRule.NONE, database_url),
        (moved, DatabaseRule.EMBEDDED, moved),
        (entered, DatabaseRule.ANY, entered),
        (database_url, DatabaseRule.EMBEDDED, entered),
        (database_url, DatabaseRule.ANY, database_url),
    ):
        await provision(client, database_url=url, rule=rule)
        block = await client.read_block_document_by_name(DATABASE_BLOCK, "sqlalchemy-connector", include_secrets=True)
        assert block.data["connection_info"] == expected


async def test_a_schedule_makes_runs_and_outlives_provisioning(client: PrefectClient, settings: Settings) -> None:
    """An operator's schedule has parameters of its own, and works as long as it is wanted."""
    deployment = await client.read_deployment_by_name("inbox/default")
    parameters = {"folder": "in", "ontology": "o.ttl"}
    daily = DeploymentScheduleCreate(
        schedule=IntervalSchedule(interval=timedelta(days=1)), parameters=parameters, active=True, slug="daily"
    )
    await client.create_deployment_schedules(deployment.id, [daily])
    await provision(client, database_url=_stack(settings).database_url, rule=DatabaseRule.EMBEDDED)
    kept = (await client.read_deployment_by_name("inbox/default")).schedules
    assert {each.slug: (each.active, each.parameters) for each in kept}["daily"] == (True, parameters)
    of_inbox = DeploymentFilter(id=DeploymentFilterId(any_=[deployment.id]))
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not (runs := await client.read_flow_runs(deployment_filter=of_inbox)):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.2)
    assert runs[0].parameters == parameters


def test_a_killed_worker_and_database_come_back(settings: Settings) -> None:
    """Each part is watched, and the others go on meanwhile."""
    server = _process(settings, "server")
    killed = {part: _process(settings, part) for part in ("worker", "postgres")}
    for process in killed.values():
        process.send(signal.SIGKILL)
    for part, process in killed.items():
        _eventually(lambda part=part, process=process: _state(settings).process(part) not in {None, process})
    assert _process(settings, "server") == server


def test_a_killed_supervisors_parts_are_taken_over(settings: Settings) -> None:
    """What still runs is not started twice, and what is gone is started again."""
    before = _state(settings)
    assert before.supervisor is not None
    before.supervisor.send(signal.SIGKILL)
    _process(settings, "postgres").send(signal.SIGKILL)
    before.supervisor.wait(_PATIENCE_SECONDS)
    assert running_stack(settings) is None
    assert start_in_background(settings, _ignore).started_here
    after = _state(settings)
    assert after.process("server") == before.process("server")
    assert after.process("postgres") not in {None, before.process("postgres")}


def test_down_leaves_no_process(settings: Settings) -> None:
    """Also when the supervisor cannot do it any more."""
    state = _state(settings)
    assert state.supervisor is not None
    state.supervisor.send(signal.SIGKILL)
    parts = [_process(settings, part) for part in ("postgres", "server", "worker", "recovery")]
    assert stop_stack(settings)
    assert [process for process in parts if process.is_alive] == []
    assert stack_processes(str(StackHome.of(settings).root)) == ()
    assert not stop_stack(settings)
