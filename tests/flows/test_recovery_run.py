"""Runs whose processes are killed, on a real stack: every run ends, once, with the same graph."""

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psutil
import pytest

from tables.oversight import ExecutionOverview, unfinished_executions
from tests.running_stack import Ran, StackUnderTest
from tests.sample import TEXT, knowing_model
from tests.scripted_endpoint import JSON, Reply

pytestmark = pytest.mark.stack

_PATIENCE_SECONDS = 90.0
_ANSWER_SECONDS = 0.4


def _eventually(condition: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not (found := condition()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


@dataclass
class SlowModel:
    """Answers after a while, and knows which questions it has answered and when it was asked."""

    answered: Counter[str] = field(default_factory=Counter[str])
    asked_at: list[float] = field(default_factory=list[float])

    def __call__(self, path: str, body: JSON) -> Reply:
        self.asked_at.append(time.monotonic())
        time.sleep(_ANSWER_SECONDS)
        if path.endswith("/completions"):
            self.answered[json.dumps(body, sort_keys=True)] += 1
        return knowing_model(path, body)


def _text(words: str, paragraphs: int = 24) -> str:
    return TEXT + "".join(
        f"\n\nIn Oslo Brandt saw {words} number {n}. " + "It was there. " * 70 for n in range(paragraphs)
    )


@dataclass
class Running:
    """A `knowledge run` in the background."""

    stack: StackUnderTest
    organization: str
    thread: threading.Thread
    ran: list[Ran]

    @property
    def execution(self) -> ExecutionOverview | None:
        found = [
            each for each in unfinished_executions(self.stack.database) if each.organization_id == self.organization
        ]
        return found[0] if found else None

    def process(self) -> int:
        """The pid of its flow process, once there is one."""

        def alive() -> int | None:
            execution = self.execution
            pid = execution.pid if execution and execution.holder else None
            return pid if pid is not None and psutil.pid_exists(pid) else None

        return _eventually(alive)

    def end(self) -> dict[str, Any]:
        self.thread.join(_PATIENCE_SECONDS)
        assert self.ran, "the run has not ended"
        return self.ran[0].executions[0]


def _start(stack: StackUnderTest, organization: str, text: str) -> Running:
    ran: list[Ran] = []
    document = stack.write(f"{organization}.txt", text)
    thread = threading.Thread(target=lambda: ran.append(stack.run(document, organization=organization)))
    thread.start()
    return Running(stack, organization, thread, ran)


def test_a_killed_flow_process_is_resumed_and_nothing_is_asked_twice(stack: StackUnderTest) -> None:
    """The same execution goes on where it was, and its graph is that of an undisturbed run."""
    model = stack.endpoint.answer = SlowModel()
    run = _start(stack, "killed", _text("lamp"))
    pid = run.process()
    _eventually(lambda: len(model.answered) >= 10)
    execution_id = run.execution.id if run.execution else None
    os.kill(pid, signal.SIGKILL)
    killed_at, asked = time.monotonic(), len(model.asked_at)
    ended = run.end()
    print("seconds from kill to next call", min(t for t in model.asked_at[asked:] if t > killed_at + 1) - killed_at)
    assert (ended["status"], ended["execution_id"], ended["resumes"]) == ("completed", execution_id, 1)
    twice = [body for body, times in model.answered.items() if times > 1]
    print("answered twice", len(twice), "of", len(model.answered))
    assert len(twice) <= 8
