"""A stack of the drill's own: started as a user starts it, killed as nobody should, and asked what it did."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx
import psutil

from deployments.processes import ProcessIdentity, stack_processes
from deployments.stack import RunningStack, running_stack
from deployments.status import StackStatus, stack_status
from knowledge.settings import Settings
from tables.session import Database, create_database
from tests.drills.endpoint import WORKER_VARIABLE, Endpoint
from tests.drills.passages import MODEL

BIN = Path(sys.executable).parent
STACK_WORKER = "worker-1"
"""The name by which the endpoint knows the stack's own worker."""
_FLOW_RUN_VARIABLE = "PREFECT__FLOW_RUN_ID"
_DEAD_SECONDS = 10.0
_READY_SECONDS = 240.0
_STOP_SECONDS = 120.0
_ANSWER_SECONDS = 10.0
_POLL_SECONDS = 0.01


class DrillFailed(Exception):
    """The drill itself cannot go on: what it needs did not come about."""


def wait_until(is_so: Callable[[], bool], timeout_seconds: float, pause_seconds: float = _POLL_SECONDS) -> bool:
    """Whether the condition came about in time."""
    deadline = time.monotonic() + timeout_seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause_seconds)
    return True


class DrillStack:
    """`knowledge up` with a home under /tmp, its models those of the endpoint; `variables` go into its environment."""

    def __init__(self, home: Path, endpoint: Endpoint, variables: Mapping[str, str]) -> None:
        self.home = home
        self.is_kept = False
        self.model_variables = {**_model_variables(endpoint), **variables}
        self._settings = Settings(home=home / "state")
        own = {"KNOWLEDGE_HOME": str(home / "state"), WORKER_VARIABLE: STACK_WORKER}
        self._environment = {**bare_environment(), **self.model_variables, **own}
        self._supervisor: subprocess.Popen[bytes] | None = None
        self._database: tuple[str, Database] | None = None

    @classmethod
    @contextmanager
    def started(cls, endpoint: Endpoint, variables: Mapping[str, str] | None = None) -> Generator["DrillStack"]:
        """A running stack; it is stopped at the end of the block, and its home removed unless it `is_kept`."""
        stack = cls(Path(tempfile.mkdtemp(prefix="kdrill-", dir="/tmp")), endpoint, variables or {})
        try:
            stack.start()
            yield stack
        except BaseException:
            stack.is_kept = True
            raise
        finally:
            stack.stop()

    def start(self) -> None:
        """Run `knowledge up` and wait until it says that the stack is ready.

        Raises:
            DrillFailed: it does not say so.
        """
        with self.log.open("ab") as log:
            self._supervisor = subprocess.Popen(
                [str(BIN / "knowledge"), "up"],
                cwd=self.home,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        supervisor = self._supervisor
        is_settled: Callable[[], bool] = lambda: self._running is not None or supervisor.poll() is not None  # noqa: E731
        if not wait_until(is_settled, _READY_SECONDS, 0.05) or self._running is None:
            raise DrillFailed(f"the stack does not start: see {self.log}")

    def stop(self) -> None:
        """`knowledge down`; what is in the home is kept only if something went wrong."""
        if self._database is not None:
            self._database[1].close()
        with self.log.open("ab") as log:
            command = [str(BIN / "knowledge"), "down"]
            subprocess.run(command, cwd=self.home, env=self._environment, stderr=log, timeout=_STOP_SECONDS, check=True)
        if self._supervisor is not None:
            self._supervisor.wait(timeout=_STOP_SECONDS)
        if not self.is_kept:
            shutil.rmtree(self.home)

    def begin(self, *arguments: str) -> "subprocess.Popen[str]":
        """The command `knowledge` with these arguments, under way; what it tells people goes into the log."""
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [str(BIN / "knowledge"), *arguments],
                cwd=self.home,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )

    @property
    def log(self) -> Path:
        """What `knowledge up` and `down` said."""
        return self.home / "up.log"

    @property
    def running(self) -> RunningStack:
        """Where the stack's API and database are.

        Raises:
            DrillFailed: it does not run.
        """
        running = self._running
        if running is None:
            raise DrillFailed(f"the stack does not run: see {self.log}")
        return running

    @property
    def _running(self) -> RunningStack | None:
        return running_stack(self._settings)

    @property
    def database(self) -> Database:
        """Our tables; the pool survives restarts of PostgreSQL."""
        if self._database is None:
            url = self.running.database_url
            self._database = (url, create_database(url))
        return self._database[1]

    @property
    def database_url(self) -> str:
        """libpq's URL of our tables, as the superuser who sees all organisations."""
        return f"postgresql://{self.running.database_url.partition('://')[2]}"

    @property
    def status(self) -> StackStatus:
        """What `knowledge status --json` prints."""
        return stack_status(self._settings)

    def api(self, method: str, path: str, body: object = None) -> object:
        """What Prefect's API answers.

        Raises:
            httpx.HTTPError: it does not, or refuses.
        """
        url = f"{self.running.api_url}{path}"
        response = httpx.request(method, url, json=body, timeout=_ANSWER_SECONDS, trust_env=False)
        response.raise_for_status()
        return response.json()

    def flow_process(self, flow_run_id: str) -> ProcessIdentity | None:
        """The live process of a flow run, whichever worker's, from its name or environment: its row knows it later."""
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                is_forked = flow_run_id in " ".join(process.cmdline())
                if is_forked or process.environ().get(_FLOW_RUN_VARIABLE) == flow_run_id:
                    return ProcessIdentity.of(process.pid)
        return None

    @contextmanager
    def worker_stopped(self) -> Generator[None]:
        """The stack's own worker does nothing while the block runs, so that others take what is submitted."""
        pid = self.status.worker.pid
        worker = ProcessIdentity.of(pid) if pid is not None else None
        if worker is None:
            raise DrillFailed(f"the stack's worker does not run: see {self.log}")
        worker.send(signal.SIGSTOP)
        try:
            yield
        finally:
            worker.send(signal.SIGCONT)

    def all_processes(self) -> tuple[ProcessIdentity, ...]:
        """The supervisor, every part and every flow process; the supervisor first, so that it restarts nothing."""
        status = self.status
        supervisor = ProcessIdentity.of(self._supervisor.pid) if self._supervisor is not None else None
        pids = (status.postgres.pid, status.server.pid, status.worker.pid, status.recovery.pid)
        parts = [ProcessIdentity.of(pid) for pid in pids if pid is not None]
        marked = stack_processes(str(self._settings.home.resolve()))
        known = {process.pid: process for process in (supervisor, *parts, *marked) if process is not None}
        return tuple(known.values())

    def note_supervisors_end(self) -> None:
        """Take note that the supervisor was killed, so that it is no zombie."""
        if self._supervisor is not None:
            self._supervisor.wait(timeout=_DEAD_SECONDS)


def kill(processes: tuple[ProcessIdentity, ...]) -> float:
    """SIGKILL to all; the time (seconds since the epoch) at which it was sent.

    Raises:
        DrillFailed: one of them lives on.
    """
    killed_at = time.time()
    for process in processes:
        process.send(signal.SIGKILL)
    for process in processes:
        if not process.wait(_DEAD_SECONDS):
            raise DrillFailed(f"process {process.pid} survives SIGKILL")
    return killed_at


def bare_environment() -> dict[str, str]:
    """Our environment without any settings, with the programs of our own environment first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KNOWLEDGE_", "PREFECT_"))}
    return {**kept, "PATH": os.pathsep.join([str(BIN), kept.get("PATH", os.defpath)])}


def _model_variables(endpoint: Endpoint) -> dict[str, str]:
    return {
        "KNOWLEDGE_CHAT__BASE_URL": endpoint.chat_url,
        "KNOWLEDGE_CHAT__MODEL": MODEL,
        "KNOWLEDGE_EMBEDDING__BASE_URL": endpoint.embedding_url,
        "KNOWLEDGE_EMBEDDING__MODEL": MODEL,
        # A task that fails while a part is away is tried again; the waits are not what is measured.
        "KNOWLEDGE_RETRY__FIRST_DELAY_SECONDS": "0.5",
    }
