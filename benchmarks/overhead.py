"""What orchestration costs: processor time per model call, and how well the models' time is used.

    python benchmarks/overhead.py [--documents 20] [--chat-ms 200] [--embedding-ms 50] [--json]

Starts a stack and a model endpoint of its own, and lets the stack finish starting. Documents of some 3,000 words are
submitted to `extraction/default`, four of them at work at once with two questions each: eight in flight. Counted is
the processor time of every process of the stack (flow processes from their first instruction to their last, worker,
server, PostgreSQL) from before the first document is submitted until after the last one has ended, over all calls,
chat and embeddings. Efficiency is the time that the chat questions would take eight at a time, over the time from the
first request to the last answer.
"""

import argparse
import json
import signal
import sys
import tempfile
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from knowledge.domain import Document
from knowledge.ids import OrganizationId
from knowledge.ontology import load_ontology
from tables.documents import OntologySource, store_document, store_ontology
from tests.drills.calls import Call, CallLog, paid_again
from tests.drills.endpoint import serving
from tests.drills.faults import CHAT
from tests.drills.measures import peak_in_flight
from tests.drills.passages import ONTOLOGY, document_text
from tests.drills.stack import DrillStack, wait_until

CONCURRENCY = 8
_QUESTIONS_EACH = 2
_PARAGRAPHS = 110
_ORGANIZATION = OrganizationId(f"overhead-{uuid.uuid4().hex[:8]}")
_END_SECONDS = 3600.0
_IDLE_SECONDS = 0.2
_OVER = {"COMPLETED", "FAILED", "CANCELLED", "CRASHED"}
_RUN_NAME = "document"
_PARTS = ("flow", "worker", "server", "postgres")


@dataclass(frozen=True, slots=True)
class Plan:
    """How many documents, and how long the endpoints take (milliseconds)."""

    documents: int
    chat_ms: float
    embedding_ms: float


def _seconds(process: psutil.Process) -> float:
    """Processor time of a process, and of those of its descendants that it has seen end."""
    times = process.cpu_times()
    return times.user + times.system + times.children_user + times.children_system


def _family(pid: int | None) -> float:
    """Processor time of a process and all its descendants, living and dead."""
    if pid is None:
        return 0.0
    total, waiting = 0.0, [psutil.Process(pid)]
    while waiting:
        process = waiting.pop()
        try:
            total += _seconds(process)
            waiting += process.children()
        except psutil.NoSuchProcess:
            continue
    return total


def _own(pid: int | None) -> float:
    if pid is None:
        return 0.0
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system


def _flow_processes(worker: psutil.Process) -> list[psutil.Process]:
    """Those of the worker's descendants that run a flow."""
    found: list[psutil.Process] = []
    for process in worker.children(recursive=True):
        with suppress(psutil.Error):
            if "flow run" in " ".join(process.cmdline()):
                found.append(process)
    return found


def _parts(stack: DrillStack) -> dict[str, float]:
    """Processor seconds of the parts so far. Flow processes are the worker's descendants; recovery is the worker's."""
    status = stack.status
    worker = _own(status.worker.pid)
    return {
        "flow": _family(status.worker.pid) - worker,
        "worker": worker + _family(status.recovery.pid),
        "server": _family(status.server.pid),
        "postgres": _family(status.postgres.pid),
    }


def _settle(stack: DrillStack) -> None:
    """Returns when the stack has done what it does when it starts: a second goes by in which it computes little."""
    seen = {"cpu": 0.0}

    def is_idle() -> bool:
        before, seen["cpu"] = seen["cpu"], sum(_parts(stack).values())
        return seen["cpu"] - before < _IDLE_SECONDS

    wait_until(is_idle, _END_SECONDS, 1.0)


def _submit(stack: DrillStack, plan: Plan) -> list[str]:
    ontology = load_ontology(ONTOLOGY, "sample.ttl")
    source = OntologySource.of(_ORGANIZATION, "sample.ttl", ".ttl", ONTOLOGY, ontology.digest)
    ontology_id = store_ontology(stack.database, source)
    deployment: Any = stack.api("GET", "/deployments/name/extraction/default")
    submitted: list[str] = []
    for number in range(plan.documents):
        text = document_text(_PARAGRAPHS, first=number * _PARAGRAPHS)
        document = store_document(stack.database, Document.of(_ORGANIZATION, f"{_RUN_NAME}-{number}", text))
        parameters = {"document": document, "ontology": ontology_id, "organization": _ORGANIZATION}
        body = {"name": f"{_RUN_NAME}-{number}", "parameters": parameters}
        created: Any = stack.api("POST", f"/deployments/{deployment['id']}/create_flow_run", body)
        submitted.append(str(created["id"]))
    return submitted


class _Watch:
    """Looks at the runs until they are over, and at the largest flow process meanwhile."""

    def __init__(self, stack: DrillStack, flow_runs: Sequence[str]) -> None:
        self._stack = stack
        # The stack's status is asked for once: it opens a connection each time.
        self._worker = psutil.Process(stack.status.worker.pid)
        self._flow_runs = flow_runs
        self.peak_bytes = 0

    def is_over(self) -> bool:
        processes = _flow_processes(self._worker)
        for process in processes:
            try:
                self.peak_bytes = max(self.peak_bytes, process.memory_info().rss)
            except psutil.NoSuchProcess:
                continue
        return not processes and self._count(sorted(_OVER)) == len(self._flow_runs)

    def completed(self) -> int:
        """How many of the runs were completed."""
        return self._count(["COMPLETED"])

    def _count(self, states: list[str]) -> int:
        # They are counted, because to read them all again and again would be a good part of what is measured.
        filters = {"name": {"like_": _RUN_NAME}, "state": {"type": {"any_": states}}}
        counted: Any = self._stack.api("POST", "/flow_runs/count", {"flow_runs": filters})
        return int(counted)


def _efficiency(calls: list[Call], plan: Plan) -> float:
    chats = [call for call in calls if call.endpoint == CHAT]
    wall = max(call.answered_at or 0.0 for call in calls) - min(call.begun_at for call in calls)
    return round(len(chats) * plan.chat_ms / 1000 / CONCURRENCY / wall, 3)


def measure(plan: Plan) -> dict[str, object]:
    """The figures of one corpus; processor times in milliseconds a call."""
    variables = {"KNOWLEDGE_CHAT__MAX_CONCURRENCY": str(_QUESTIONS_EACH)}
    with tempfile.TemporaryDirectory(prefix="koverhead-") as directory:
        log = Path(directory) / "calls.jsonl"
        with (
            serving(log, plan.chat_ms / 1000, plan.embedding_ms / 1000) as endpoint,
            DrillStack.started(endpoint, variables) as stack,
        ):
            _settle(stack)
            before, started = _parts(stack), time.monotonic()
            watch = _Watch(stack, _submit(stack, plan))
            wait_until(watch.is_over, _END_SECONDS, 0.5)
            seconds, after = time.monotonic() - started, _parts(stack)
            calls = CallLog(log).read().calls
            return _figures(plan, calls, {part: after[part] - before[part] for part in _PARTS}, seconds, watch)


def _figures(
    plan: Plan, calls: list[Call], spent: Mapping[str, float], seconds: float, watch: _Watch
) -> dict[str, object]:
    milliseconds = {part: round(1000 * spent[part] / len(calls), 1) for part in _PARTS}
    return {
        "documents": plan.documents,
        "completed": watch.completed(),
        "calls": len(calls),
        "chat_calls": sum(call.endpoint == CHAT for call in calls),
        "paid_again": len(paid_again(calls)),
        "peak_in_flight": peak_in_flight(calls),
        "efficiency": _efficiency(calls, plan),
        "cpu_ms_per_call": round(1000 * sum(spent.values()) / len(calls), 1),
        "cpu_ms": milliseconds,
        "calls_per_second": round(len(calls) / seconds, 1),
        "seconds": round(seconds, 1),
        "rss_mb": round(watch.peak_bytes / 1e6),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=20)
    parser.add_argument("--chat-ms", type=float, default=200.0)
    parser.add_argument("--embedding-ms", type=float, default=50.0)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    arguments = parser.parse_args()
    # `timeout` ends it so: the stack is to be stopped nevertheless.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    figures = measure(Plan(arguments.documents, arguments.chat_ms, arguments.embedding_ms))
    for name, value in figures.items():
        print(f"{name:18}{value}", file=sys.stderr)
    if arguments.json:
        print(json.dumps(figures))


if __name__ == "__main__":
    main()
