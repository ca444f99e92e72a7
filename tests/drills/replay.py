"""The replay drill: how long a flow process takes to its first new call when a thousand have been answered."""

import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from knowledge.ids import OrganizationId
from tests.drills.calls import CallLog
from tests.drills.endpoint import serving
from tests.drills.passages import document_text
from tests.drills.stack import DrillFailed, DrillStack, wait_until
from tests.drills.submission import Job, Run, submit, undisturbed

_CALLS_OF_A_CHUNK = 2
_LATENCY_SECONDS = 0.01
_RUN_SECONDS = 400.0
_POLL_SECONDS = 0.02
GOAL_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class Replay:
    """Seconds from the start of the flow process to its execution's opening, its first and its first new answer."""

    answered_calls: int
    seconds_to_open: float
    seconds_to_first_new_call: float
    seconds_first_run: float
    paid_again: int

    @property
    def milliseconds_per_answered_call(self) -> float:
        """What replaying a stored answer takes."""
        spent = self.seconds_to_first_new_call - self.seconds_to_open
        return round(1000 * spent / max(1, self.answered_calls), 2)


def measure_replay(calls: int, log_file: Path, tell: Callable[[str], None]) -> Replay:
    """A document is read once; then its next edition, of which only the last paragraph is new.

    Raises:
        DrillFailed: a run did not come to its end.
    """
    organization_id = OrganizationId(f"replay-{uuid.uuid4().hex[:8]}")
    paragraphs = calls // _CALLS_OF_A_CHUNK + 1
    with serving(log_file, _LATENCY_SECONDS) as endpoint, DrillStack.started(endpoint) as stack:
        log = CallLog(log_file)
        started = time.monotonic()
        first = _submitted(stack, organization_id, log, document_text(paragraphs))
        _wait_until_asked(first, lambda: _is_completed(first))
        seconds = time.monotonic() - started
        tell(f"{first.asked} calls answered in {seconds:.1f} s")
        second = _submitted(stack, organization_id, log, document_text(paragraphs, edition=2))
        return _replayed(second, first.reference.questions, seconds)


def _submitted(stack: DrillStack, organization_id: OrganizationId, log: CallLog, text: str) -> Run:
    job = Job(organization_id, text)
    return submit(stack, job, log, undisturbed(job))


def _replayed(run: Run, answered: frozenset[str], seconds_first_run: float) -> Replay:
    started_at: float | None = None

    def is_asking() -> bool:
        nonlocal started_at
        if started_at is None:
            process = run.stack.flow_process(run.flow_run_id)
            started_at = process.created_at if process is not None else None
        return run.asked > 0

    _wait_until_asked(run, is_asking)
    _wait_until_asked(run, lambda: _is_completed(run))
    state, calls = run.state, run.own_calls
    assert started_at is not None
    assert state is not None
    assert state.started_at is not None
    return Replay(
        answered_calls=len(run.reference.questions & answered),
        seconds_to_open=round(state.started_at.timestamp() - started_at, 2),
        seconds_to_first_new_call=round(calls[0].begun_at - started_at, 2),
        seconds_first_run=round(seconds_first_run, 1),
        paid_again=sum(call.digest in answered for call in calls),
    )


def _is_completed(run: Run) -> bool:
    state = run.state
    if state is not None and state.status.is_final and state.status != "completed":
        raise DrillFailed(f"the run {state.status}: {state.error}")
    return state is not None and state.status == "completed"


def _wait_until_asked(run: Run, is_so: Callable[[], bool]) -> None:
    if not wait_until(is_so, _RUN_SECONDS, _POLL_SECONDS):
        raise DrillFailed(f"flow run {run.flow_run_id} does not come to its end: its stack is in {run.stack.home}")
