"""What a drill found: a row for each run, and the object that ends `--json`."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class KillRow:
    """One run that was disturbed once. Seconds count from the kill; for a whole stack, from when it was ready again.

    `answered_calls_paid_again` are questions asked again although their answer had been read; `in_flight_at_kill`
    those whose answer the dead process never read; `seconds_from_answer_to_kill` how long before the kill each answer
    that was paid again had arrived. `spurious_or_missing_rows` says what is wrong, a sentence each.
    """

    run: int
    moment: str
    seen: str | None
    killed: bool
    status: str
    resumes: int
    graph_equal: bool
    answered_calls_paid_again: int
    in_flight_at_kill: int
    spurious_or_missing_rows: tuple[str, ...]
    seconds_kill_to_next_call: float | None
    seconds_kill_to_end: float | None
    seconds_to_restart: float | None = None
    seconds_from_answer_to_kill: tuple[float, ...] = ()
    error: str | None = None

    @property
    def is_completed(self) -> bool:
        """Whether the execution came to its end by itself."""
        return self.status == "completed"

    @property
    def is_flawless(self) -> bool:
        """Whether it ended as an undisturbed run does, at the same price."""
        flaws = self.answered_calls_paid_again or self.spurious_or_missing_rows
        return self.is_completed and self.graph_equal and not flaws

    def __str__(self) -> str:
        ages = f" {list(self.seconds_from_answer_to_kill)}" if self.seconds_from_answer_to_kill else ""
        calls = f"paid again {self.answered_calls_paid_again}{ages}, in flight {self.in_flight_at_kill}"
        graph = "same graph" if self.graph_equal else "ANOTHER GRAPH"
        times = f"next call {_shown(self.seconds_kill_to_next_call)}, end {_shown(self.seconds_kill_to_end)}"
        problems = "".join(f"\n      {problem}" for problem in self.spurious_or_missing_rows)
        error = f"\n      {self.error}" if self.error else ""
        what = self.seen if self.killed else f"NOT KILLED ({self.seen})"
        return (
            f"run {self.run}: {self.moment}: {what}: {self.status}, {graph}, {calls}, {times}, "
            f"{self.resumes} resumes{error}{problems}"
        )


def _shown(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds:.1f} s"


def summary_of(victim: str, moment: str, seed: int, rows: Sequence[KillRow]) -> dict[str, object]:
    """The object that ends `kill --json`."""
    return {
        "victim": victim,
        "moment": moment,
        "runs": len(rows),
        "seed": seed,
        "killed": sum(row.killed for row in rows),
        "paid_again": sum(row.answered_calls_paid_again for row in rows),
        "in_flight_at_kill": sum(row.in_flight_at_kill for row in rows),
        "graphs_differ": sum(not row.graph_equal for row in rows),
        "spurious_rows": sum(len(row.spurious_or_missing_rows) for row in rows),
        "not_completed": sum(not row.is_completed for row in rows),
        "median_seconds_to_next_call": _median(row.seconds_kill_to_next_call for row in rows if row.killed),
        "median_seconds_to_end": _median(row.seconds_kill_to_end for row in rows if row.killed),
        "rows": [asdict(row) for row in rows],
    }


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(median(known), 2) if known else None
