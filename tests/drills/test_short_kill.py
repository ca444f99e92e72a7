"""The drill in its short form: one kill of the flow process, on every change."""

from pathlib import Path

import pytest

from tests.drills.kill import KillPlan, Victim, run_kills
from tests.drills.moments import Moment

pytestmark = pytest.mark.stack

# An answer that comes a moment before the kill is read and not yet stored: nobody can have it twice for one price.
_STORING_SECONDS = 0.25


def test_a_killed_run_goes_on_by_itself_and_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    """The same execution and flow run, the same graph, every row in place, and no stored answer paid for again."""
    plan = KillPlan(Victim.FLOW, Moment.MENTIONS, runs=1, seed=5, chunks=6, latency_seconds=0.3)
    told: list[str] = []
    (row,) = run_kills(plan, tmp_path / "calls.jsonl", told.append)
    assert row.killed, told
    assert (row.status, row.resumes, row.graph_equal) == ("completed", 1, True), told
    assert not row.spurious_or_missing_rows, told
    assert all(age < _STORING_SECONDS for age in row.seconds_from_answer_to_kill), told
