"""The batch drill: a folder of many small documents, begun twice, whose worker and runs are lost halfway."""

import json
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import psutil

from deployments.processes import ProcessIdentity
from knowledge.ids import OrganizationId
from tables.graph_store import latest_extractions
from tests.drills.calls import Call, CallLog, paid_again
from tests.drills.fleet import Tell
from tests.drills.passages import ONTOLOGY, document_text
from tests.drills.report import FleetReport
from tests.drills.stack import DrillFailed, DrillStack, kill, wait_until

_POLL_SECONDS = 0.5
_END_SECONDS = 7200.0
_ORGANIZATION = OrganizationId("large-batch")


@dataclass(frozen=True, slots=True)
class LargeBatchPlan:
    """So many documents of so many paragraphs, one chunk each; after how many calls a document the worker is lost."""

    documents: int = 1000
    paragraphs: int = 3
    killed_after: float = 1.0


def run_large_batch(plan: LargeBatchPlan, stack: DrillStack, log: CallLog, tell: Tell) -> FleetReport:
    """The batch from its command to its end, and again.

    Raises:
        DrillFailed: nothing goes on.
    """
    folder, ontology = stack.home / "documents", stack.home / "sample.ttl"
    folder.mkdir()
    ontology.write_bytes(ONTOLOGY)
    for n in range(plan.documents):
        (folder / f"document-{n:05d}.txt").write_text(document_text(plan.paragraphs, first=n * plan.paragraphs))
    arguments = ("batch", str(folder), "--ontology", str(ontology), "--organization", _ORGANIZATION, "--json")
    before, started = len(log.read().calls), time.monotonic()
    command = stack.begin(*arguments)
    tell(f"a batch of {plan.documents} documents is begun")
    wanted = before + round(plan.killed_after * plan.documents)
    if not wait_until(lambda: len(log.read().calls) >= wanted, _END_SECONDS, _POLL_SECONDS):
        raise DrillFailed(f"the batch does not go on: see {stack.home}")
    _kill_the_worker(stack)
    tell("the worker is killed, with all its runs and the batch's own")
    batch = _last_object(command.communicate(timeout=_END_SECONDS)[0])
    seconds, calls = time.monotonic() - started, log.read().calls[before:]
    tell(f"the batch is over after {seconds:.0f} s; it is begun again")
    started = time.monotonic()
    again = _last_object(stack.begin(*arguments).communicate(timeout=_END_SECONDS)[0])
    again_seconds, further = time.monotonic() - started, len(log.read().calls) - before - len(calls)
    return _report(plan, stack, batch, again, calls, further, seconds, again_seconds)


def _kill_the_worker(stack: DrillStack) -> None:
    pid = stack.status.worker.pid
    if pid is None:
        raise DrillFailed(f"the worker does not run: see {stack.log}")
    worker = psutil.Process(pid)
    family = [worker, *worker.children(recursive=True)]
    kill(tuple(identity for member in family if (identity := ProcessIdentity.of(member.pid)) is not None))


def _last_object(output: str) -> dict[str, Any]:
    lines = output.strip().splitlines()
    if not lines:
        raise DrillFailed("knowledge batch said nothing")
    return json.loads(lines[-1])


def _report(
    plan: LargeBatchPlan,
    stack: DrillStack,
    batch: dict[str, Any],
    again: dict[str, Any],
    calls: list[Call],
    further_calls: int,
    seconds: float,
    again_seconds: float,
) -> FleetReport:
    states = Counter(item["state"] for item in batch["items"])
    graphs = len(list(latest_extractions(stack.database, _ORGANIZATION)))
    questions = len({call.digest for call in calls})
    paid = len(paid_again(calls))
    findings: dict[str, object] = {
        "drill": "batch",
        "documents": plan.documents,
        "status": batch["status"],
        "batch_resumes": batch["resumes"],
        "states": dict(states),
        "graphs": graphs,
        "questions": questions,
        "calls": len(calls),
        "in_flight_at_kill": len(calls) - questions - paid,
        "paid_again": paid,
        "seconds": round(seconds, 1),
        "seconds_again": round(again_seconds, 1),
    }
    goals = {
        "the batch completed": batch["status"] == "completed",
        "every document completed": states == {"completed": plan.documents},
        "every document has its graph": graphs == plan.documents,
        "no answer paid again": not paid,
        "begun again it asks nothing": again["status"] == "completed" and not further_calls,
    }
    return FleetReport(findings, goals, rows=())
