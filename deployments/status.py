"""What runs, as `knowledge status --json` says it."""

import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TypeVar

from deployments.home import StackHome
from deployments.postgres import embedded_process
from deployments.processes import ProcessIdentity
from deployments.state import StackState, read_state
from knowledge.errors import ConfigurationError, StoreUnavailable
from knowledge.settings import Settings
from tables.endpoints import endpoint_standings
from tables.oversight import unfinished_executions
from tables.session import Database, create_database

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class PartStatus:
    """A part's process; no pid when it does not run here."""

    pid: int | None


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """Prefect's server; no pid when it is not ours."""

    pid: int | None
    url: str | None


@dataclass(frozen=True, slots=True)
class FlowRunStatus:
    """An execution that is not finished, and the process that has it in hand."""

    flow_run_id: str | None
    execution_id: str
    pid: int | None
    status: str


@dataclass(frozen=True, slots=True)
class EndpointStatus:
    """A model endpoint that was ever held: `closed` (it may be asked), `throttled` or `open` (its circuit is)."""

    endpoint: str
    circuit: str
    since: str | None
    next_probe: str | None
    detail: str


@dataclass(frozen=True, slots=True)
class StackStatus:
    """The stack's parts and the runs in it."""

    postgres: PartStatus
    server: ServerStatus
    worker: PartStatus
    recovery: PartStatus
    flow_runs: tuple[FlowRunStatus, ...]
    endpoints: tuple[EndpointStatus, ...] = ()

    def as_json(self) -> dict[str, object]:
        """The form that `status --json` prints."""
        return asdict(self)


def stack_status(settings: Settings) -> StackStatus:
    """What runs now, by what the processes themselves say rather than by what was written down."""
    home = StackHome.of(settings)
    state = read_state(home.state_file)
    postgres = embedded_process(home)
    return StackStatus(
        postgres=PartStatus(postgres.pid if postgres else None),
        server=ServerStatus(_pid(state, "server"), _api_url(state)),
        worker=PartStatus(_pid(state, "worker")),
        recovery=PartStatus(_pid(state, "recovery")),
        flow_runs=unfinished_flow_runs(state.database_url),
        endpoints=known_endpoints(state.database_url),
    )


def _api_url(state: StackState) -> str | None:
    if state.is_local_server:
        return state.api_url if _pid(state, "server") is not None else None
    return state.api_url if state.is_supervised else None


def _pid(state: StackState, part: str) -> int | None:
    process = state.process(part)
    return process.pid if process else None


def unfinished_flow_runs(database_url: str | None) -> tuple[FlowRunStatus, ...]:
    """The executions of all organisations that are not finished, oldest first; none while the database is down."""
    return tuple(
        FlowRunStatus(run.flow_run_id, run.id, _live_pid(run.pid, run.host), run.status.value)
        for run in _read(database_url, unfinished_executions)
    )


def known_endpoints(database_url: str | None) -> tuple[EndpointStatus, ...]:
    """How model endpoints stand that were ever held; none while the database is down."""
    return tuple(
        EndpointStatus(found.name, found.state.value, _said(found.held_since), _said(found.probe_at), found.detail)
        for found in _read(database_url, endpoint_standings)
    )


def _said(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat(timespec="seconds")


def _read(database_url: str | None, read: Callable[[Database], tuple[Found, ...]]) -> tuple[Found, ...]:
    if database_url is None:
        return ()
    database = create_database(database_url)
    try:
        return read(database)
    except (StoreUnavailable, ConfigurationError):
        return ()
    finally:
        database.close()


def _live_pid(pid: int | None, host: str | None) -> int | None:
    """The pid, if it is of this machine and alive."""
    return pid if pid is not None and host == socket.gethostname() and ProcessIdentity.of(pid) else None
