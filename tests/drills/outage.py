"""The outage drill: the endpoints fail for a while, which begins when every worker is in the middle of a document."""

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from math import inf

from tests.drills.calls import Call
from tests.drills.faults import ENDPOINTS, FaultKind, FaultPlan
from tests.drills.fleet import Fleet, Tell
from tests.drills.measures import Outage, seconds_to_next_call, seconds_to_workers_next_call
from tests.drills.report import FleetReport, fleet_findings, fleet_goals
from tests.drills.stack import DrillFailed, wait_until
from tests.drills.submission import Run

_UNDER_WAY_SECONDS = 120.0
_END_SECONDS = 240.0
_POLL_SECONDS = 0.01

OPEN_SECONDS_VARIABLE = "KNOWLEDGE_CIRCUIT__OPEN_SECONDS"
HANG_VARIABLES = {"KNOWLEDGE_CHAT__TIMEOUT_SECONDS": "5", "KNOWLEDGE_EMBEDDING__TIMEOUT_SECONDS": "5"}
"""A hanging endpoint is noticed by the deadline of a call: one that fits a drill."""


@dataclass(frozen=True, slots=True)
class OutagePlan:
    """How the endpoints fail and for how long, and what must come of it at worst.

    `open_seconds` is what the workers' circuit waits before it tries a dead endpoint again.
    """

    kind: FaultKind
    seconds: float = 60.0
    seed: int = 1
    endpoints: tuple[str, ...] = ENDPOINTS
    retry_after_seconds: float = 5.0
    most_calls: int = 15
    open_seconds: float = 30.0
    next_call_within_seconds: float = 2.0

    @property
    def resumed_within_seconds(self) -> float:
        """From the end of the outage to the next call that succeeds, at most."""
        return self.open_seconds + 1.0


@dataclass(frozen=True, slots=True)
class _Resumption:
    """Seconds from the end of the outage to each endpoint's next success, and from the last of these to others' calls.

    `documents` are those that were not all answered by then; None for one that was never asked about again.
    """

    to_success: dict[str, float]
    workers: dict[str, float]
    documents: dict[str, float | None]


def run_outage(plan: OutagePlan, fleet: Fleet, tell: Tell) -> FleetReport:
    """What became of the fleet's documents, and what the outage cost.

    Raises:
        DrillFailed: not every worker was in the middle of a document when the outage was to begin.
    """
    runs = fleet.submit("outage")
    answers = _wait_until_under_way(plan, fleet, runs)
    fault = FaultPlan(plan.kind, plan.endpoints, seed=plan.seed, retry_after_seconds=plan.retry_after_seconds)
    begun_at = fleet.endpoint.begin(fault)
    tell(f"the outage begins after {answers} answers: {plan.kind} for {plan.seconds:g} s")
    _require_all_in_the_middle(fleet, runs)
    time.sleep(max(0.0, begun_at + plan.seconds - time.time()))
    outage = Outage(plan.kind, begun_at, fleet.endpoint.end())
    tell("the outage is over")
    states = fleet.wait_for_ends(runs, _END_SECONDS)
    rows, calls = fleet.rows(runs, states), fleet.calls_of(runs)
    asked = outage.calls_into(fleet.log)
    resumption = _resumption(outage, runs, calls)
    findings = {
        "drill": "outage",
        "kind": plan.kind,
        "seconds": round(outage.ended_at - outage.begun_at, 2),
        "seed": plan.seed,
        "workers": fleet.plan.workers,
        "answers_before": answers,
        "in_flight_at_begin": sum(call.was_open(begun_at) for call in calls),
        "calls_into_outage": {**asked, "total": sum(asked.values())},
        "seconds_end_to_next_success": resumption.to_success,
        "seconds_success_to_next_call_of_workers": resumption.workers,
        "seconds_success_to_next_call_of_documents": resumption.documents,
        **fleet_findings(rows, calls),
    }
    goals = {**fleet_goals(rows, calls, fleet.plan.worker_names), **_goals(plan, fleet, asked, resumption)}
    return FleetReport(findings, goals, rows)


def _wait_until_under_way(plan: OutagePlan, fleet: Fleet, runs: list[Run]) -> int:
    """Every worker has had an answer, and then a seeded number of answers has been given: how many there are."""
    # Up to an eighth of what each worker will ask: it must be in the middle of its work.
    further = random.Random(f"{plan.seed}/outage").randint(1, max(1, fleet.plan.chunks * fleet.plan.workers // 2))
    wanted: int | None = None

    def answered() -> list[Call]:
        return [call for call in fleet.calls_of(runs) if call.delivered]

    def is_under_way() -> bool:
        nonlocal wanted
        calls = answered()
        if wanted is None and {call.worker for call in calls} >= set(fleet.plan.worker_names):
            wanted = len(calls) + further
        return wanted is not None and len(calls) >= wanted

    if not wait_until(is_under_way, _UNDER_WAY_SECONDS, _POLL_SECONDS):
        raise DrillFailed(f"not every worker comes to be answered: see {fleet.stack.home}")
    return len(answered())


def _require_all_in_the_middle(fleet: Fleet, runs: list[Run]) -> None:
    busy = {call.worker for run in runs if _unanswered(run, time.time()) for call in run.own_calls}
    idle = set(fleet.plan.worker_names) - busy
    if idle:
        raise DrillFailed(f"{', '.join(sorted(idle))} had nothing left to do when the outage began: give more chunks")


def _unanswered(run: Run, at: float) -> frozenset[str]:
    answered = {call.digest for call in run.own_calls if call.delivered and (call.answered_at or at) < at}
    return run.reference.questions - answered


def _resumption(outage: Outage, runs: list[Run], calls: Sequence[Call]) -> _Resumption:
    # Endpoints have a probe each, and a document may wait for the one that is tried last.
    first = max(outage.successes(calls).values(), key=lambda call: call.answered_at or 0.0, default=None)
    if first is None or first.answered_at is None:
        return _Resumption({}, {}, {f"document {n}": None for n in range(1, len(runs) + 1)})
    left = {f"document {n}": _unanswered(run, first.answered_at) for n, run in enumerate(runs, 1)}
    unfinished = {name: questions for name, questions in left.items() if questions}
    return _Resumption(
        outage.seconds_to_success(calls),
        seconds_to_workers_next_call(calls, first.answered_at),
        seconds_to_next_call(calls, first.answered_at, unfinished),
    )


def _goals(plan: OutagePlan, fleet: Fleet, asked: dict[str, int], resumption: _Resumption) -> dict[str, bool]:
    lags = list(chain(resumption.workers.values(), resumption.documents.values()))
    waited = [resumption.to_success.get(endpoint, inf) for endpoint, calls in asked.items() if calls]
    return {
        f"at most {plan.most_calls} calls into the outage": sum(asked.values()) <= plan.most_calls,
        f"resumed within {plan.resumed_within_seconds:g} s of its end": bool(resumption.to_success)
        and max(waited, default=0.0) <= plan.resumed_within_seconds,
        f"every worker called within {plan.next_call_within_seconds:g} s of a successful probe": bool(lags)
        and all(lag is not None and lag <= plan.next_call_within_seconds for lag in lags),
    }
