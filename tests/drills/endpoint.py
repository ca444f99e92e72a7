"""The drills' model endpoint, from outside: a process of its own that logs every call and fails when told to."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tests.drills.faults import CHAT, EMBEDDINGS, PLAN_OR_NONE, FaultPlan
from tests.scripted_endpoint import JSON

ROOT = Path(__file__).parents[2]
WORKER_HEADER = "OpenAI-Project"
"""Tells the endpoint who asks: the SDK sends it when its process's environment has `WORKER_VARIABLE`."""
WORKER_VARIABLE = "OPENAI_PROJECT_ID"


def digest_of(path: str, body: JSON) -> str:
    """16 hex digits that name a question: equal ones have equal digests, whoever asks, and however often.

    What follows the first two messages is about an answer that could not be used: the question stays the same.
    """
    messages = {"messages": body["messages"][:2]} if "messages" in body else {}
    question = json.dumps([path.rsplit("/", 1)[-1], {**body, **messages}], sort_keys=True)
    return hashlib.sha256(question.encode()).hexdigest()[:16]


def kind_of(path: str, body: JSON) -> str:
    """What is asked for: the answer schema's name, or `embeddings`."""
    if path.endswith("/embeddings"):
        return EMBEDDINGS
    return str(body["response_format"]["json_schema"]["name"])


class Endpoint:
    """The process; chat and embeddings have a port each, which they keep when they refuse connections."""

    def __init__(self, process: "subprocess.Popen[str]", stdin: IO[str], stdout: IO[str]) -> None:
        self.process = process
        self._stdin = stdin
        self._stdout = stdout
        self.ports: dict[str, int] = json.loads(stdout.readline())

    @property
    def chat_url(self) -> str:
        """Base URL of the chat endpoint."""
        return f"http://127.0.0.1:{self.ports[CHAT]}/v1"

    @property
    def embedding_url(self) -> str:
        """Base URL of the embedding endpoint."""
        return f"http://127.0.0.1:{self.ports[EMBEDDINGS]}/v1"

    def begin(self, plan: FaultPlan) -> float:
        """Fail as planned, from the time returned on (seconds since the epoch); nothing counts as asked before."""
        return self._tell(plan)

    def end(self) -> float:
        """Fail no more, from the time returned on."""
        return self._tell(None)

    def _tell(self, plan: FaultPlan | None) -> float:
        self._stdin.write(PLAN_OR_NONE.dump_json(plan).decode() + "\n")
        self._stdin.flush()
        return float(self._stdout.readline())


@contextmanager
def serving(log: Path, latency_seconds: float, embedding_seconds: float | None = None) -> Generator[Endpoint]:
    """An endpoint that answers after about `latency_seconds`, and lives as long as the block, or as we do.

    With `embedding_seconds` every answer takes exactly its time, and embeddings have their own.
    """
    module = "tests.drills.endpoint_process"
    command = [sys.executable, "-m", module, "--latency", str(latency_seconds), "--log", str(log)]
    if embedding_seconds is not None:
        command += ["--embedding-latency", str(embedding_seconds)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Endpoint(process, process.stdin, process.stdout)
    finally:
        process.stdin.close()
        process.wait(timeout=10)
