"""The fleet drill: many documents on several workers, one of which is lost, an outage, and a server that is killed."""

import time
from dataclasses import dataclass

import psutil

from deployments.processes import ProcessIdentity
from knowledge.domain import WorkflowExecutionState
from tests.drills.endpoint import WORKER_VARIABLE
from tests.drills.faults import FaultKind, FaultPlan
from tests.drills.fleet import Fleet, Tell
from tests.drills.report import FleetReport, fleet_findings, fleet_goals
from tests.drills.stack import DrillFailed, kill, wait_until
from tests.drills.submission import Run

_POLL_SECONDS = 0.2
_END_SECONDS = 3600.0
_TAKEN_SECONDS = 120.0
_MOST_CALLS_PER_QUESTION = 1.05


@dataclass(frozen=True, slots=True)
class DisturbedFleetPlan:
    """After which share of the calls each disturbance comes, and how long the outage lasts."""

    worker_killed_after: float = 0.2
    outage_after: float = 0.4
    outage_seconds: float = 20.0
    server_killed_after: float = 0.7


def run_disturbed_fleet(plan: DisturbedFleetPlan, fleet: Fleet, tell: Tell) -> FleetReport:
    """What became of the documents: all complete, every question paid once, limits held.

    Raises:
        DrillFailed: nothing goes on.
    """
    runs = fleet.submit("fleet")
    tell(f"{len(runs)} documents are submitted")
    questions = sum(len(run.reference.questions) for run in runs)
    _wait_for_answers(fleet, runs, round(plan.worker_killed_after * questions))
    killed = _kill_a_worker(fleet, runs)
    tell(f"{killed} is killed, with its runs")
    _wait_for_answers(fleet, runs, round(plan.outage_after * questions))
    fleet.endpoint.begin(FaultPlan(FaultKind.INTERNAL_ERROR))
    tell(f"the endpoints answer 500 for {plan.outage_seconds:g} s")
    # The outage is a length of time, as the drill of outages has it.
    time.sleep(plan.outage_seconds)
    fleet.endpoint.end()
    _wait_for_answers(fleet, runs, round(plan.server_killed_after * questions))
    _kill_the_server(fleet)
    tell("the server is killed")
    states = fleet.wait_for_ends(runs, _END_SECONDS)
    return _report(fleet, runs, states, questions, killed)


def _wait_for_answers(fleet: Fleet, runs: list[Run], wanted: int) -> None:
    def are_there() -> bool:
        return sum(call.delivered for call in fleet.calls_of(runs)) >= wanted

    if not wait_until(are_there, _END_SECONDS, _POLL_SECONDS):
        raise DrillFailed(f"the documents do not go on: see {fleet.stack.home}")


def _kill_a_worker(fleet: Fleet, runs: list[Run]) -> str:
    """SIGKILL to a further worker and all its flow processes, as when its machine is lost; its name.

    It is in the middle of a document then: it has been answered, and an execution of one of its processes is open.
    """
    name = fleet.plan.worker_names[-1]

    def has_begun() -> bool:
        if not any(call.worker == name and call.delivered for call in fleet.calls_of(runs)):
            return False
        open_here = {run.pid for run in fleet.stack.status.flow_runs}
        return any(member.pid in open_here for member in _family(name))

    if not wait_until(has_begun, _TAKEN_SECONDS, _POLL_SECONDS):
        raise DrillFailed(f"{name} takes no document: see its log in {fleet.stack.home}")
    kill(tuple(identity for member in _family(name) if (identity := ProcessIdentity.of(member.pid)) is not None))
    return name


def _family(worker: str) -> list[psutil.Process]:
    return [member for member in psutil.process_iter() if _is_of(member, worker)]


def _is_of(process: psutil.Process, worker: str) -> bool:
    try:
        return process.environ().get(WORKER_VARIABLE) == worker
    except (psutil.Error, OSError):
        return False


def _kill_the_server(fleet: Fleet) -> None:
    pid = fleet.stack.status.server.pid
    server = ProcessIdentity.of(pid) if pid is not None else None
    if server is None:
        raise DrillFailed(f"the server does not run: see {fleet.stack.log}")
    kill((server,))


def _report(
    fleet: Fleet, runs: list[Run], states: list[WorkflowExecutionState | None], questions: int, killed: str
) -> FleetReport:
    rows, calls = fleet.rows(runs, states), fleet.calls_of(runs)
    sound = [call for call in calls if call.fault is None]
    # What was in flight when its process was killed has to be asked again.
    times = round(sum(call.delivered for call in sound) / questions, 3)
    goals = fleet_goals(rows, calls, fleet.plan.worker_names)
    # What a lost machine had received and not stored yet went with it.
    del goals["no answer paid again"]
    goals["every question answered once"] = times <= _MOST_CALLS_PER_QUESTION
    goals["what the lost worker had begun was resumed"] = any(row.resumes for row in rows)
    findings = {
        "drill": "fleet",
        "killed": killed,
        "questions": questions,
        "calls_per_question": times,
        **fleet_findings(rows, calls),
        "calls_into_outage": len(calls) - len(sound),
    }
    return FleetReport(findings, goals, rows)
