"""The kill drill: run after run, each disturbed once, each held against an undisturbed one."""

import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

from deployments.processes import ProcessIdentity
from knowledge.ids import OrganizationId
from tests.drills import checks
from tests.drills.calls import CallLog, paid_again
from tests.drills.ending import wait_for_end, wait_until_settled
from tests.drills.endpoint import Endpoint, serving
from tests.drills.moments import Moment, wait_for
from tests.drills.passages import document_text
from tests.drills.report import KillRow
from tests.drills.stack import DrillStack, kill, wait_until
from tests.drills.submission import Job, Run, submit, undisturbed

_END_SECONDS = 180.0
_VICTIM_SECONDS = 20.0


class Victim(StrEnum):
    """Who is killed. `stack` is the supervisor, every part and every flow process; `nobody` proves the checks."""

    FLOW = "flow"
    WORKER = "worker"
    SERVER = "server"
    POSTGRES = "postgres"
    STACK = "stack"
    NOBODY = "nobody"


@dataclass(frozen=True, slots=True)
class KillPlan:
    """What is done to how many runs, of a document of so many chunks."""

    victim: Victim
    moment: Moment
    runs: int
    seed: int
    chunks: int = 16
    latency_seconds: float = 0.5


@dataclass(frozen=True, slots=True)
class _Killed:
    """What was seen, when the victim was killed, and since when the wait for a successor counts."""

    seen: str | None
    at: float | None = None
    ready_at: float | None = None


def run_kills(plan: KillPlan, log_file: Path, tell: Callable[[str], None]) -> Iterator[KillRow]:
    """The rows, as the runs end. A run that does not end takes its stack with it: the next one has a new one.

    Raises:
        DrillFailed: the drill could not be made.
    """
    with serving(log_file, plan.latency_seconds) as endpoint, _Stacks(endpoint, tell) as stacks:
        for number in range(1, plan.runs + 1):
            row = _disturbed(plan, number, stacks.current, CallLog(log_file))
            tell(str(row))
            yield row
            stacks.current.is_kept |= not row.is_flawless
            if not row.is_completed and number < plan.runs:
                stacks.replace()


class _Stacks:
    """The stack of the drill, replaced when a run has spoilt it."""

    def __init__(self, endpoint: Endpoint, tell: Callable[[str], None]) -> None:
        self._endpoint = endpoint
        self._tell = tell
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def replace(self) -> None:
        self._stack.close()
        self._start()

    def _start(self) -> None:
        self._tell("starting a stack")
        self.current = self._stack.enter_context(DrillStack.started(self._endpoint))
        self._tell(f"its home is {self.current.home}")


def _disturbed(plan: KillPlan, number: int, stack: DrillStack, log: CallLog) -> KillRow:
    """A run of an organisation of its own, so that nothing is answered before."""
    rng = random.Random(f"{plan.seed}/{number}")
    job = Job(OrganizationId(f"drill-{number}-{uuid.uuid4().hex[:8]}"), document_text(plan.chunks))
    reference = undisturbed(job)
    run = submit(stack, job, log, reference)
    killed = _kill(plan, run, rng)
    state = wait_for_end(run, _END_SECONDS)
    ended_at = time.time()
    wait_until_settled(run)
    calls = run.own_calls
    again, killed_at = paid_again(calls), killed.at
    return KillRow(
        run=number,
        moment=plan.moment,
        seen=killed.seen,
        killed=killed.at is not None,
        status=state.status if state is not None else "never opened",
        resumes=state.resumes if state is not None else 0,
        graph_equal=checks.is_graph_equal(run),
        answered_calls_paid_again=len(again),
        in_flight_at_kill=sum(call.was_open(killed_at) for call in calls) if killed_at is not None else 0,
        spurious_or_missing_rows=checks.problems(run, state),
        seconds_kill_to_next_call=_seconds_to_next_call(run, killed),
        seconds_kill_to_end=None if killed.at is None else round(ended_at - (killed.ready_at or killed.at), 2),
        seconds_to_restart=round(killed.ready_at - killed.at, 2) if killed.ready_at and killed.at else None,
        seconds_from_answer_to_kill=tuple(
            round(killed_at - call.answered_at, 3)
            for call in again
            if killed_at is not None and call.answered_at is not None
        ),
        error=state.error if state is not None else None,
    )


def _kill(plan: KillPlan, run: Run, rng: random.Random) -> _Killed:
    if plan.victim is Victim.NOBODY:
        return _Killed("undisturbed")
    seen = wait_for(plan.moment, run, rng)
    if seen is None:
        return _Killed("the run was over before the moment came")
    if plan.victim is Victim.STACK:
        killed_at = kill(run.stack.all_processes())
        run.stack.note_supervisors_end()
        run.stack.start()
        return _Killed(seen, killed_at, time.time())
    process = _victim(plan.victim, run)
    if process is None:
        return _Killed(f"{seen}, but there was no {plan.victim} process any more")
    return _Killed(f"{seen}, pid {process.pid}", kill((process,)))


def _victim(victim: Victim, run: Run) -> ProcessIdentity | None:
    """The process to kill; a part that is just being started again is waited for, a flow process is not."""
    if victim is Victim.FLOW:
        return run.stack.flow_process(run.flow_run_id)

    def pid() -> int | None:
        status = run.stack.status
        parts = {
            Victim.WORKER: status.worker.pid,
            Victim.SERVER: status.server.pid,
            Victim.POSTGRES: status.postgres.pid,
        }
        return parts[victim]

    wait_until(lambda: pid() is not None, _VICTIM_SECONDS)
    found = pid()
    return ProcessIdentity.of(found) if found is not None else None


def _seconds_to_next_call(run: Run, killed: _Killed) -> float | None:
    if killed.at is None:
        return None
    later = [call.begun_at for call in run.own_calls if call.begun_at > killed.at]
    return round(max(0.0, min(later) - (killed.ready_at or killed.at)), 2) if later else None
