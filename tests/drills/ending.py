"""The end of runs: seen in the ledger, and then in Prefect."""

from contextlib import suppress
from typing import Any

import httpx

from knowledge.domain import WorkflowExecutionState
from knowledge.errors import StoreUnavailable
from tests.drills.stack import DrillFailed, wait_until
from tests.drills.submission import Run

_SETTLED_SECONDS = 60.0
_POLL_SECONDS = 0.05
_SETTLED = {"COMPLETED", "FAILED", "CANCELLED"}


def wait_for_end(run: Run, seconds: float) -> WorkflowExecutionState | None:
    """The execution at its end, or as it stands when the time is over."""
    last: WorkflowExecutionState | None = None

    def is_over() -> bool:
        nonlocal last
        with suppress(StoreUnavailable):
            last = run.state
            return last is not None and last.status.is_final
        return False

    wait_until(is_over, seconds, _POLL_SECONDS)
    return last


def wait_until_settled(run: Run) -> None:
    """Until Prefect agrees that the run is over, and its process is gone; `checks` says if they do not."""

    def is_settled() -> bool:
        with suppress(httpx.HTTPError, DrillFailed):
            found: Any = run.stack.api("GET", f"/flow_runs/{run.flow_run_id}")
            return found["state_type"] in _SETTLED and run.stack.flow_process(run.flow_run_id) is None
        return False

    wait_until(is_settled, _SETTLED_SECONDS, _POLL_SECONDS)
