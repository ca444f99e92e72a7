"""Further workers for a drill's stack: started as on another machine, with nothing of the stack's but its API."""

import json
import subprocess
from collections.abc import Generator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from deployments.parts import WORK_POOL
from deployments.processes import ProcessIdentity, end_all
from tests.drills.endpoint import WORKER_VARIABLE, Endpoint
from tests.drills.stack import BIN, DrillFailed, DrillStack, bare_environment, wait_until

_READY_SECONDS = 60.0
_GRACE_SECONDS = 5.0
_POLL_SECONDS = 0.2
_CONNECTING = Path(__file__).parent / "connecting"


@contextmanager
def further_workers(stack: DrillStack, names: tuple[str, ...], runs_each: int) -> Generator[None]:
    """Workers of these names, each with a home of its own and at most so many runs at once, while the block runs.

    Raises:
        DrillFailed: one does not start.
    """
    with ExitStack() as started:
        for name in names:
            started.enter_context(_worker(stack, name, runs_each))
        if not wait_until(lambda: set(names) <= _online(stack), _READY_SECONDS, _POLL_SECONDS):
            raise DrillFailed(f"not all of the workers {', '.join(names)} start: see their logs in {stack.home}")
        yield


@contextmanager
def _worker(stack: DrillStack, name: str, runs_each: int) -> Generator[None]:
    home = stack.home / name
    home.mkdir()
    options = ("--pool", WORK_POOL, "--type", "process", "--name", name, "--limit", str(runs_each))
    with (home / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            [str(BIN / "prefect"), "worker", "start", *options, "--no-create-pool-if-not-found"],
            cwd=home,
            env=_environment(stack, name, home),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield
    finally:
        # A worker that is told to stop may leave flow processes behind, and wait for a server that does not answer.
        with suppress(psutil.NoSuchProcess):
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            members = [ProcessIdentity.of(member.pid) for member in family]
            end_all([member for member in members if member is not None], _GRACE_SECONDS)
        process.wait(timeout=_GRACE_SECONDS)


def _environment(stack: DrillStack, name: str, home: Path) -> dict[str, str]:
    return {
        **bare_environment(),
        **stack.model_variables,
        "KNOWLEDGE_HOME": str(home / "state"),
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_API_URL": stack.running.api_url,
        "PREFECT_WORKER_QUERY_SECONDS": "1",
        "DO_NOT_TRACK": "1",
        WORKER_VARIABLE: name,
    }


def _online(stack: DrillStack) -> set[str]:
    found: Any = stack.api("POST", f"/work_pools/{WORK_POOL}/workers/filter", {})
    return {worker["name"] for worker in found if worker["status"] == "ONLINE"}


def connection_watch(endpoint: Endpoint, log: Path) -> dict[str, str]:
    """Variables that make every Python process note in the log its attempts to connect to the endpoint."""
    return {"PYTHONPATH": str(_CONNECTING), "DRILL_LOG": str(log), "DRILL_PORTS": json.dumps(endpoint.ports)}
