"""Runs that are killed, cancelled and stopped, on a real stack: each ends, once, as it should, by itself."""

import json
import os
import signal
import subprocess
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from sqlalchemy import text

from deployments.home import StackHome
from deployments.state import read_state
from knowledge.domain import ExecutionStatus, WorkflowExecutionState
from knowledge.ids import FlowRunId, OrganizationId
from tables.ledger import Ledger
from tables.oversight import ExecutionOverview, unfinished_executions
from tests.running_stack import BIN, PATIENCE_SECONDS, StackUnderTest, eventually
from tests.sample import ONTOLOGY, TEXT, knowing_model
from tests.scripted_endpoint import JSON, Reply
from tests.served_window import followed, told

pytestmark = pytest.mark.stack

_ANSWERED_FIRST = 12
_CONCURRENCY = 8
_POISON = "a bottle of arsenic"


class GatedModel:
    """Answers each organisation's first dozen questions, the others when told, and kills who asks about poison."""

    def __init__(self, stack: StackUnderTest) -> None:
        self._stack = stack
        self._gates: defaultdict[str, threading.Event] = defaultdict(threading.Event)
        self._lock = threading.Lock()
        self.answered: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self.waiting: Counter[str] = Counter()

    def __call__(self, path: str, body: JSON) -> Reply:
        question = json.dumps(body, sort_keys=True)
        organization = next((name for name in _PARAGRAPHS if f"saw {name} " in question), "")
        if _POISON in question:
            self._kill("poisonous")
        if organization:
            self._wait(organization)
            with self._lock:
                self.answered[organization][question] += 1
        return knowing_model(path, body)

    def _kill(self, organization: str) -> None:
        execution = _unfinished(self._stack, organization)
        if execution is not None and execution.pid is not None:
            os.kill(execution.pid, signal.SIGKILL)

    def _wait(self, organization: str) -> None:
        with self._lock:
            if self.answered[organization].total() < _ANSWERED_FIRST:
                return
            self.waiting[organization] += 1
        self._gates[organization].wait(PATIENCE_SECONDS)
        with self._lock:
            self.waiting[organization] -= 1

    def open(self, organization: str) -> None:
        """From now on all of the organisation's questions are answered at once."""
        self._gates[organization].set()

    def open_all(self) -> None:
        """Nobody waits any more."""
        for organization in _PARAGRAPHS:
            self.open(organization)


_PARAGRAPHS = {"killed": 30, "cancelled": 30, "poisonous": 2, "stopped": 30, "undisturbed": 30}
"""Each organisation's document has so many, of a chunk or so each."""


def _text(organization: str) -> str:
    paragraphs = range(_PARAGRAPHS[organization])
    seen = ("".join(f"Brandt saw {organization} number {n} of {k}. " for k in range(70)) for n in paragraphs)
    return "\n\n".join((TEXT, *seen)) + (_POISON if organization == "poisonous" else "")


def _unfinished(stack: StackUnderTest, organization: str) -> ExecutionOverview | None:
    found = (each for each in unfinished_executions(stack.database) if each.organization_id == organization)
    return next(found, None)


@dataclass(frozen=True)
class Started:
    """A document under way in the background, as `knowledge run` submitted it."""

    stack: StackUnderTest
    model: GatedModel
    organization: str
    ended: "Future[dict[str, Any]]"

    def at_work(self) -> ExecutionOverview:
        """The execution, once all that it was answered is stored, and it waits for as many answers as it may."""

        def waits() -> ExecutionOverview | None:
            is_waiting = self.model.waiting[self.organization] == _CONCURRENCY
            return _unfinished(self.stack, self.organization) if is_waiting else None

        return eventually(waits)

    def end(self) -> dict[str, Any]:
        """What `knowledge run --json` said of it."""
        return self.ended.result(PATIENCE_SECONDS)

    def row(self) -> WorkflowExecutionState:
        """Its only execution."""
        (row,) = Ledger(self.stack.database, OrganizationId(self.organization)).list_executions()
        return row

    def attempts(self) -> list[tuple[str, str, int, str]]:
        """Its attempts: stage, item, number and how they ended."""
        query = text("SELECT stage, item, attempt, status FROM knowledge.workflow_activity ORDER BY 1, 2, 3")
        with self.stack.database.org_session(OrganizationId(self.organization)) as session:
            return [(row[0], row[1], row[2], row[3]) for row in session.execute(query)]


def _run(stack: StackUnderTest, organization: str) -> dict[str, Any]:
    # Not stack.run, which forgets what others, at the same time, have asked.
    document = stack.write(f"{organization}.txt", _text(organization))
    ontology = stack.write(f"{organization}.ttl", ONTOLOGY)
    names = ("--ontology", ontology, "--organization", organization, "--out", stack.home / "out" / organization)
    return stack.command("knowledge", "run", document, *names, "--json").executions[0]


@pytest.fixture
def start(stack: StackUnderTest) -> Iterator[Callable[[str], Started]]:
    """Starts the document of an organisation in the background, with the gated model."""
    model = stack.endpoint.answer = GatedModel(stack)
    with ThreadPoolExecutor(4) as pool:
        yield lambda organization: Started(stack, model, organization, pool.submit(_run, stack, organization))
        model.open_all()


def _graph(execution: dict[str, Any]) -> list[str]:
    """The exported graph without what names the document: what the ids are made of, and their order."""
    lines = [json.loads(line) for line in Path(execution["exports"]["jsonl"]).read_text().splitlines()]
    facts = ({name: value for name, value in line.items() if not name.endswith("id")} for line in lines)
    return sorted(json.dumps(fact, sort_keys=True) for fact in facts)


def _prefect_state(stack: StackUnderTest, flow_run_id: FlowRunId | None) -> str:
    answer = httpx.get(f"{stack.running.api_url}/flow_runs/{flow_run_id}", timeout=30).raise_for_status()
    return answer.json()["state"]["type"]


def test_killed_cancelled_and_poisonous_runs_end_as_they_should(
    stack: StackUnderTest, start: Callable[[str], Started]
) -> None:
    """All at once: one run's trouble is not another's."""
    killed, cancelled, poisonous = start("killed"), start("cancelled"), start("poisonous")
    victim = killed.at_work()
    with _followed_over_http(stack, victim) as told_of_victim:
        _end_harmlessly_as_a_second_process(stack, victim)
        answered = set(killed.model.answered["killed"])
        assert victim.pid is not None
        os.kill(victim.pid, signal.SIGKILL)
        killed.model.open("killed")
        _cancel(stack, cancelled)
        _ends_completed(killed, victim, answered)
        _is_told_once_and_in_order(told_of_victim.result(PATIENCE_SECONDS))
    _ends_failed_at_the_cap(poisonous)


@contextmanager
def _followed_over_http(
    stack: StackUnderTest, execution: ExecutionOverview
) -> Generator["Future[list[dict[str, Any]]]"]:
    """All that somebody outside, with a token, is told of the execution until its end."""
    made = stack.command("knowledge", "token", "create", "test", "--organization", execution.organization_id)
    serving = subprocess.Popen(
        [str(BIN / "knowledge"), "serve", "--port", "0"], env=stack.environment, stdout=subprocess.PIPE, text=True
    )
    assert serving.stdout is not None
    url = serving.stdout.readline().strip()

    def follow() -> list[dict[str, Any]]:
        with followed(url, made.stdout.strip(), execution.id, seconds=PATIENCE_SECONDS) as response:
            return [json.loads(event.data) for event in told(response)]

    try:
        with ThreadPoolExecutor(1) as pool:
            yield pool.submit(follow)
    finally:
        serving.terminate()
        serving.wait(timeout=30)


def _is_told_once_and_in_order(events: list[dict[str, Any]]) -> None:
    """The death of the process is news like any other: nothing is lost, doubled, or taken back."""
    assert [event["number"] for event in events] == list(range(1, len(events) + 1))
    for never_back in ("fraction", "model_calls"):
        values = [event[never_back] for event in events]
        assert values == sorted(values)
    statuses = [event["status"] for event in events if event["current"] is None]
    assert statuses == ["running", "pending", "running", "completed"]
    assert events[-1]["fraction"] == 1.0


def _end_harmlessly_as_a_second_process(stack: StackUnderTest, running: ExecutionOverview) -> None:
    """A second live process of the run asks nothing, changes nothing, and does not end the run in Prefect."""
    second = subprocess.run(
        [str(BIN / "python"), "-m", "prefect.engine"],
        env={
            **stack.environment,
            "PREFECT_API_URL": stack.running.api_url,
            "PREFECT__FLOW_RUN_ID": str(running.flow_run_id),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 0, second.stderr
    now = _unfinished(stack, running.organization_id)
    assert now == running
    assert _prefect_state(stack, running.flow_run_id) == "RUNNING"


def _cancel(stack: StackUnderTest, run: Started) -> None:
    execution = run.at_work()
    # What the UI's button and `prefect flow-run cancel` do.
    to_cancelling = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    url = f"{stack.running.api_url}/flow_runs/{execution.flow_run_id}/set_state"
    httpx.post(url, json=to_cancelling, timeout=30).raise_for_status()
    assert run.end()["status"] == "cancelled"
    row = run.row()
    assert (row.status, row.resumes) == (ExecutionStatus.CANCELLED, 0)
    assert "cancelled by a user" in (row.error or "")
    assert row.ended_at is not None
    pid = execution.pid
    assert pid is not None
    # The fence is given up before the process has told Prefect and ended.
    eventually(lambda: not psutil.pid_exists(pid) or None)
    assert run.model.answered["cancelled"].total() == _ANSWERED_FIRST
    eventually(lambda: _prefect_state(stack, row.flow_run_id) == "CANCELLED" or None)


def _ends_completed(run: Started, victim: ExecutionOverview, answered: set[str]) -> None:
    """The same execution went on where it was, and nothing that was answered was asked again."""
    ended = run.end()
    assert (ended["status"], ended["execution_id"]) == ("completed", victim.id)
    assert ended["resumes"] >= 1
    assert len(answered) == _ANSWERED_FIRST
    assert {run.model.answered["killed"][question] for question in answered} == {1}
    attempts = run.attempts()
    assert {status for *_, status in attempts} <= {"completed", "cached", "interrupted"}
    assert Counter(attempt[:3] for attempt in attempts).most_common(1)[0][1] == 1


def _ends_failed_at_the_cap(run: Started) -> None:
    """A document that kills its process each time is given up, and says where."""
    ended = run.end()
    row = run.row()
    assert (ended["status"], row.resumes) == ("failed", 2)
    assert "gave up after 2 resumes" in (row.error or "")
    assert _prefect_state(run.stack, row.flow_run_id) == "FAILED"
    assert "running" not in {status for *_, status in run.attempts()}


def test_a_stopped_workers_run_goes_on_with_the_next_worker(
    stack: StackUnderTest, start: Callable[[str], Started]
) -> None:
    """SIGTERM, as a restart or `knowledge down` sends it, ends no run; the graph is an undisturbed one's."""
    run = start("stopped")
    execution = run.at_work()
    worker = read_state(StackHome(stack.home / "state").state_file).process("worker")
    assert worker is not None
    worker.send(signal.SIGTERM)
    run.model.open_all()
    ended = run.end()
    assert (ended["status"], ended["execution_id"]) == ("completed", execution.id)
    undisturbed = start("undisturbed").end()
    assert (undisturbed["status"], undisturbed["resumes"]) == ("completed", 0)
    assert _graph(ended) == _graph(undisturbed)
