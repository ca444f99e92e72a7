"""The throttle drill: a share of all calls is answered with 429 and a Retry-After, which holds for all callers."""

from dataclasses import dataclass

from tests.drills.faults import ENDPOINTS, FaultKind, FaultPlan
from tests.drills.fleet import Fleet, Tell
from tests.drills.report import FleetReport, fleet_findings, fleet_goals

_END_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class ThrottlePlan:
    """Which share of the calls is refused, and how long all callers of the endpoint are then asked to wait."""

    share: float = 0.2
    retry_after_seconds: float = 1.0
    seed: int = 1


def run_throttle(plan: ThrottlePlan, fleet: Fleet, tell: Tell) -> FleetReport:
    """What became of the fleet's documents, and which calls came too early."""
    fault = FaultPlan(FaultKind.THROTTLED, ENDPOINTS, plan.share, plan.seed, plan.retry_after_seconds)
    fleet.endpoint.begin(fault)
    try:
        tell(f"{plan.share:.0%} of the calls are answered with 429")
        runs = fleet.submit("throttle")
        states = fleet.wait_for_ends(runs, _END_SECONDS)
    finally:
        fleet.endpoint.end()
    rows, calls = fleet.rows(runs, states), fleet.calls_of(runs)
    refused = [call for call in calls if call.until is not None]
    findings = {
        "drill": "throttle",
        "share": plan.share,
        "retry_after_seconds": plan.retry_after_seconds,
        "seed": plan.seed,
        "workers": fleet.plan.workers,
        "throttled": {endpoint: sum(call.endpoint == endpoint for call in refused) for endpoint in ENDPOINTS},
        **fleet_findings(rows, calls),
    }
    goals = {"something was throttled": bool(refused), **fleet_goals(rows, calls, fleet.plan.worker_names)}
    return FleetReport(findings, goals, rows)
