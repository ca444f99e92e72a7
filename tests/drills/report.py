"""What a drill found: a row for each run, and the object that ends `--json`."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import median

from knowledge.build import EMBEDDING_PERMITS
from tests.drills.calls import Call, paid_again
from tests.drills.faults import EMBEDDINGS
from tests.drills.measures import Violation, peak_in_flight, violations


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


@dataclass(frozen=True, slots=True)
class DocumentRow:
    """What became of one document of several: which workers asked about it, and how it was left.

    `failed_items` were given up while the rest of the document went on; `failed_attempts` is how many attempts of
    stage items the disturbance used up. `spurious_or_missing_rows` says what is wrong, a sentence each.
    """

    document: int
    workers: tuple[str, ...]
    status: str
    resumes: int
    graph_equal: bool
    spurious_or_missing_rows: tuple[str, ...]
    failed_items: int
    failed_attempts: int
    error: str | None = None

    @property
    def is_completed(self) -> bool:
        """Whether the execution came to its end by itself."""
        return self.status == "completed"

    def __str__(self) -> str:
        graph = "same graph" if self.graph_equal else "ANOTHER GRAPH"
        problems = "".join(f"\n      {problem}" for problem in self.spurious_or_missing_rows)
        error = f"\n      {self.error}" if self.error else ""
        return (
            f"document {self.document} on {', '.join(self.workers) or 'no worker'}: {self.status}, {graph}, "
            f"{self.failed_items} items failed, {self.failed_attempts} attempts failed, {self.resumes} resumes"
            f"{error}{problems}"
        )


@dataclass(frozen=True, slots=True)
class FleetReport:
    """A drill's findings by name, the goals that they meet or miss, and what became of each document."""

    findings: Mapping[str, object]
    goals: Mapping[str, bool]
    rows: Sequence[DocumentRow]

    @property
    def is_met(self) -> bool:
        """Whether all goals are."""
        return all(self.goals.values())

    @property
    def as_json(self) -> dict[str, object]:
        """The object that ends `--json`."""
        return {**self.findings, "goals": dict(self.goals), "rows": [asdict(row) for row in self.rows]}

    def __str__(self) -> str:
        found = [f"{name}: {value}" for name, value in self.findings.items()]
        goals = [f"goal {name}: {'met' if is_met else 'MISSED'}" for name, is_met in self.goals.items()]
        return "\n".join([*map(str, self.rows), *found, *goals])


def fleet_findings(rows: Sequence[DocumentRow], calls: Sequence[Call]) -> dict[str, object]:
    """What all drills with several documents report."""
    early = violations(calls)
    return {
        "documents": len(rows),
        "completed": sum(row.is_completed for row in rows),
        "graphs_differ": sum(not row.graph_equal for row in rows),
        "spurious_rows": sum(len(row.spurious_or_missing_rows) for row in rows),
        "failed_items": sum(row.failed_items for row in rows),
        "failed_attempts": sum(row.failed_attempts for row in rows),
        "resumes": sum(row.resumes for row in rows),
        "workers_with_calls": sorted({call.worker for call in calls}),
        "calls": len(calls),
        "paid_again": len(paid_again(calls)),
        "peak_in_flight": peak_in_flight(calls),
        "retry_after_violations": len(early),
        "violations_told_to_another_worker": sum(one.told != one.worker for one in early),
        "worst_violations": [asdict(one) for one in sorted(early, key=_lateness)[:5]],
    }


def _lateness(violation: Violation) -> float:
    """What tells a caller that did not know yet from one that did not care."""
    return -violation.seconds_after_asking


def fleet_goals(rows: Sequence[DocumentRow], calls: Sequence[Call], workers: Iterable[str]) -> dict[str, bool]:
    """What every drill with several documents must find."""
    embeddings = peak_in_flight(calls)[EMBEDDINGS]
    return {
        "every worker had a run": {call.worker for call in calls} >= set(workers),
        "every execution completed": all(row.is_completed for row in rows),
        "every graph equal to the undisturbed one": all(row.graph_equal for row in rows),
        "no spurious or missing rows": not any(row.spurious_or_missing_rows for row in rows),
        "no item failed": not any(row.failed_items for row in rows),
        "no answer paid again": not paid_again(calls),
        f"at most {EMBEDDING_PERMITS} embedding calls in flight": embeddings <= EMBEDDING_PERMITS,
        "every Retry-After respected": not violations(calls),
    }


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
