"""The parts of the stack, as commands with their environments."""

import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from deployments.environment import server_environment, worker_environment
from deployments.home import StackHome
from deployments.processes import ProcessIdentity
from knowledge.settings import Settings

WORK_POOL = "knowledge"
ENGINE_COMMAND = "python -m prefect.engine"
"""The work pool's command: it stands for a forked process in our worker, and is run by Prefect's own workers."""
DATABASE_URL_VARIABLE = "KNOWLEDGE_STACK_DATABASE_URL"
"""Where our tables are, for the worker to put into the block that flows read."""
DATABASE_RULE_VARIABLE = "KNOWLEDGE_STACK_DATABASE_RULE"
"""A `DatabaseRule`: which database in that block gives way to ours."""
READY_VARIABLE = "KNOWLEDGE_STACK_READY"
"""The number of an open descriptor into which a part writes once it does its work."""
_TELLING = ("KNOWLEDGE_", "PREFECT_")


class DatabaseRule(StrEnum):
    """Which database in the server's block is replaced by the stack's own; a missing one always is."""

    ANY = "any"
    EMBEDDED = "embedded"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class PartSpec:
    """How a part is started and stopped. `announces`: it writes into the descriptor named by `READY_VARIABLE`."""

    name: str
    title: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    grace_seconds: float = 10.0
    stop_signals: tuple[signal.Signals, ...] = (signal.SIGTERM,)
    announces: bool = False
    runs_flows: bool = False

    @property
    def digest(self) -> str:
        """Changes with the command and our and Prefect's variables: a running part of another one is out of date."""
        told = [item for item in self.environment.items() if item[0].startswith(_TELLING)]
        described = json.dumps([self.command, sorted(told)])
        return hashlib.sha256(described.encode()).hexdigest()[:32]


def server_part(base: Mapping[str, str], home: StackHome, *, port: int, prefect_database_url: str) -> PartSpec:
    """Prefect's server: API, UI and services in one process, and the reports, on the loopback address only."""
    command = (
        *_python_module("uvicorn", "--factory", "deployments.server_app:create_app"),
        *("--host", "127.0.0.1", "--port", str(port), "--log-level", "warning"),
        # Idle clients (the worker's websocket) do not hold up a shutdown.
        *("--timeout-graceful-shutdown", "3"),
    )
    environment = server_environment(base, home, port=port, prefect_database_url=prefect_database_url)
    return PartSpec("server", "the Prefect server", command, environment)


def worker_part(
    base: Mapping[str, str],
    home: StackHome,
    settings: Settings,
    *,
    api_url: str,
    is_local_server: bool,
    database_url: str,
) -> PartSpec:
    """The worker: it provisions what it needs on the server, then polls the work pool."""
    environment = worker_environment(base, home, settings, api_url=api_url, is_local_server=is_local_server)
    database = {
        DATABASE_URL_VARIABLE: database_url,
        DATABASE_RULE_VARIABLE: _database_rule(settings, is_local_server=is_local_server),
    }
    command = _python_module("deployments.worker")
    return PartSpec("worker", "the worker", command, {**environment, **database}, announces=True, runs_flows=True)


def recovery_part(
    base: Mapping[str, str], home: StackHome, settings: Settings, *, api_url: str, is_local_server: bool
) -> PartSpec:
    """Recovery: it has runs whose process has died taken up again, by whichever worker."""
    environment = worker_environment(base, home, settings, api_url=api_url, is_local_server=is_local_server)
    return PartSpec("recovery", "recovery", _python_module("deployments.recovery"), environment)


def _database_rule(settings: Settings, *, is_local_server: bool) -> DatabaseRule:
    """What the settings name always wins; our embedded database does on our own server, over another embedded one."""
    if settings.database_url is not None:
        return DatabaseRule.ANY
    return DatabaseRule.EMBEDDED if is_local_server else DatabaseRule.NONE


def _python_module(module: str, *arguments: str) -> tuple[str, ...]:
    return (sys.executable, "-m", module, *arguments)


def spawn(spec: PartSpec, home: StackHome, ready_descriptor: int | None = None) -> ProcessIdentity:
    """Start the part in a session of its own (Ctrl-C does not reach it), its output going to its log."""
    ready = {} if ready_descriptor is None else {READY_VARIABLE: str(ready_descriptor)}
    with home.open_log(spec.name) as log:
        child = subprocess.Popen(
            spec.command,
            env={**spec.environment, **ready},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=() if ready_descriptor is None else (ready_descriptor,),
        )
    return ProcessIdentity.of(child.pid) or ProcessIdentity(child.pid, time.time())
