"""A real stack for the session: PostgreSQL, Prefect server and worker, and a scripted endpoint for its models."""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker

from deployments.stack import RunningStack, running_stack
from knowledge.settings import Settings
from tables.session import Database, create_database
from tests.sample import ONTOLOGY, knowing_model
from tests.scripted_endpoint import ScriptedEndpoint, scripted

ROOT = Path(__file__).parents[1]
BIN = Path(sys.executable).parent
_START_SECONDS = 120
_RUN_SECONDS = 180
_DRAIN_SECONDS = 10
PATIENCE_SECONDS = 120.0
"""How long tests wait for what the stack's processes do."""
Found = TypeVar("Found")


def eventually(look: Callable[[], Found | None]) -> Found:
    """What `look` finds, once it does: other processes' doings can only be looked at."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (found := look()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


@dataclass(frozen=True)
class Ran:
    """A finished command."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def executions(self) -> list[dict[str, Any]]:
        """What the last line of `--json` says."""
        return json.loads(self.stdout.strip().splitlines()[-1])["executions"]


@dataclass
class StackUnderTest:
    """The stack, its endpoint, and the command line pointed at it."""

    home: Path
    environment: dict[str, str]
    endpoint: ScriptedEndpoint
    running: RunningStack
    database: Database

    def command(self, *arguments: str | Path, **environment: str) -> Ran:
        """Runs a command of the environment's `bin`."""
        program, *rest = (str(argument) for argument in arguments)
        done = subprocess.run(
            [str(BIN / program), *rest],
            cwd=self.home,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=_RUN_SECONDS,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def run(self, *documents: Path, organization: str, **environment: str) -> Ran:
        """`knowledge run` with the sample ontology; what was asked before is forgotten."""
        self.endpoint.requests.clear()
        options = ("--ontology", self.ontology, "--organization", organization, "--json")
        out = ("--out", self.home / "out" / organization)
        return self.command("knowledge", "run", *documents, *options, *out, **environment)

    @property
    def ontology(self) -> Path:
        """The sample ontology's file."""
        return self.write("sample.ttl", ONTOLOGY)

    def write(self, name: str, content: str | bytes) -> Path:
        """A file that the stack's worker may read."""
        path = self.home / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path


@pytest.fixture(scope="session")
def shared_stack() -> Generator[StackUnderTest]:
    """Started once; stopped, with all its processes, at the end."""
    home = Path(tempfile.mkdtemp(prefix="kstack-", dir="/tmp"))
    with scripted(knowing_model) as endpoint:
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("KNOWLEDGE_", "PREFECT_"))},
            "KNOWLEDGE_HOME": str(home / "state"),
            "KNOWLEDGE_CHAT__BASE_URL": endpoint.base_url,
            "KNOWLEDGE_CHAT__MODEL": "scripted",
            "KNOWLEDGE_EMBEDDING__BASE_URL": endpoint.base_url,
            "KNOWLEDGE_EMBEDDING__MODEL": "scripted",
            "KNOWLEDGE_RETRY__FIRST_DELAY_SECONDS": "0.1",
            "KNOWLEDGE_CIRCUIT__OPEN_SECONDS": "1",
            "KNOWLEDGE_CIRCUIT__PATIENCE_SECONDS": "4",
            "KNOWLEDGE_RECOVERY__GRACE_SECONDS": "6",
            "KNOWLEDGE_RECOVERY__MAX_RESUMES": "2",
        }
        with (home / "up.log").open("wb") as log:
            supervisor = subprocess.Popen(
                [str(BIN / "knowledge"), "up"], cwd=home, env=environment, stdout=subprocess.PIPE, stderr=log
            )
        try:
            yield _when_running(home, environment, endpoint, supervisor)
        finally:
            finish_telling()
            subprocess.run([str(BIN / "knowledge"), "down"], cwd=home, env=environment, timeout=90, check=True)
            supervisor.wait(timeout=30)


def finish_telling() -> None:
    """What this process still has to tell a Prefect server is told, before that stops: later it is waited for in vain.

    Prefect keeps one such service for all servers, bound to the first.
    """
    for service in (EventsWorker, APILogWorker):
        service.drain_all(timeout=_DRAIN_SECONDS, at_exit=False)


def _when_running(
    home: Path, environment: dict[str, str], endpoint: ScriptedEndpoint, supervisor: "subprocess.Popen[bytes]"
) -> StackUnderTest:
    """`up` prints its one line on stdout when the stack is ready, and nothing before."""
    assert supervisor.stdout is not None
    line = supervisor.stdout.readline().decode()
    assert line.startswith("export PREFECT_API_URL="), (home / "up.log").read_text()
    running = running_stack(Settings(home=home / "state"))
    assert running is not None
    return StackUnderTest(home, environment, endpoint, running, create_database(running.database_url))


@pytest.fixture
def stack(shared_stack: StackUnderTest) -> Generator[StackUnderTest]:
    """The session's stack, its endpoint answering properly and nothing asked yet."""
    shared_stack.endpoint.answer = knowing_model
    shared_stack.endpoint.requests.clear()
    yield shared_stack
    shared_stack.endpoint.answer = knowing_model
