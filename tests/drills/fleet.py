"""Documents under way on several workers at once, each held against its undisturbed run when all have ended."""

import time
import uuid
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import psycopg

from knowledge.domain import ActivityStatus, WorkflowExecutionState
from knowledge.ids import OrganizationId
from tests.drills import checks
from tests.drills.calls import Call, CallLog
from tests.drills.ending import wait_for_end, wait_until_settled
from tests.drills.endpoint import Endpoint, serving
from tests.drills.passages import document_text
from tests.drills.report import DocumentRow
from tests.drills.stack import STACK_WORKER, DrillFailed, DrillStack, wait_until
from tests.drills.submission import Job, Run, submit, undisturbed
from tests.drills.workers import connection_watch, further_workers

Tell = Callable[[str], None]

_TAKEN_SECONDS = 60.0
_POLL_SECONDS = 0.05
# The stack's own worker starts runs at once, a further one in seconds: so many that the others' might be over by then.
_NOT_BEGUN = {"SCHEDULED", "PENDING"}
_FAILED_ATTEMPTS = "SELECT count(*) FROM knowledge.workflow_activity WHERE organization_id = %s AND status = %s"


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """So many workers and documents of so many chunks.

    `runs_each` is what a further worker does at once, if not all of its share. `variables` are set for all workers
    alike; with `watches_connections` attempts to connect are in the log, too.
    """

    workers: int = 1
    documents: int = 1
    chunks: int = 32
    latency_seconds: float = 1.0
    variables: Mapping[str, str] = field(default_factory=dict[str, str])
    runs_each: int | None = None
    watches_connections: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.workers <= self.documents:
            raise ValueError("every worker needs a document")

    @property
    def worker_names(self) -> tuple[str, ...]:
        """The stack's own worker first."""
        return (STACK_WORKER, *(f"worker-{n}" for n in range(2, self.workers + 1)))

    @property
    def documents_each(self) -> int:
        """How many documents each further worker takes; the stack's own takes the rest."""
        return self.documents // self.workers


class Fleet:
    """A stack with its endpoint and workers, ready for documents."""

    def __init__(self, plan: FleetPlan, stack: DrillStack, endpoint: Endpoint, log: CallLog) -> None:
        self.plan = plan
        self.stack = stack
        self.endpoint = endpoint
        self.log = log

    @classmethod
    @contextmanager
    def started(cls, plan: FleetPlan, log_file: Path, tell: Tell) -> Generator[Self]:
        """All that is needed, for as long as the block runs."""
        tell(f"starting a stack with {plan.workers} workers")
        with serving(log_file, plan.latency_seconds) as endpoint:
            watch = connection_watch(endpoint, log_file) if plan.watches_connections else {}
            with (
                DrillStack.started(endpoint, {**plan.variables, **watch}) as stack,
                further_workers(stack, plan.worker_names[1:], plan.runs_each or plan.documents_each),
            ):
                tell(f"its home is {stack.home}")
                yield cls(plan, stack, endpoint, CallLog(log_file))

    def submit(self, drill: str) -> list[Run]:
        """The documents, as runs of which every worker has taken its share.

        With `runs_each` they are all submitted at once, and the workers take them as they come to it.

        Raises:
            DrillFailed: they were not taken.
        """
        plan = self.plan
        jobs = [self._job(drill, n) for n in range(plan.documents)]
        references = [undisturbed(job) for job in jobs]
        questions = frozenset[str]().union(*(reference.questions for reference in references))
        assert len(questions) == sum(len(reference.questions) for reference in references), "documents share questions"
        runs: list[Run] = []

        def submit_next(count: int) -> None:
            for job, reference in list(zip(jobs, references, strict=True))[len(runs) :][:count]:
                neighbours = questions - reference.questions
                runs.append(submit(self.stack, job, self.log, reference, neighbours))

        if plan.workers > 1 and plan.runs_each is None:
            with self.stack.worker_stopped():
                submit_next(plan.documents_each * (plan.workers - 1))
                self._wait_until_taken(runs)
        submit_next(plan.documents)
        return runs

    def _job(self, drill: str, number: int) -> Job:
        """A document of an organisation of its own, so that nothing is answered before."""
        text = document_text(self.plan.chunks, first=number * self.plan.chunks)
        return Job(OrganizationId(f"{drill}-{number + 1}-{uuid.uuid4().hex[:8]}"), text)

    def _wait_until_taken(self, runs: list[Run]) -> None:
        ids = {"flow_runs": {"id": {"any_": [run.flow_run_id for run in runs]}}}

        def are_taken() -> bool:
            found: Any = self.stack.api("POST", "/flow_runs/filter", ids)
            return all(item["state_type"] not in _NOT_BEGUN for item in found)

        if not wait_until(are_taken, _TAKEN_SECONDS, _POLL_SECONDS):
            raise DrillFailed(f"the further workers do not take their runs: see their logs in {self.stack.home}")

    def wait_for_ends(self, runs: list[Run], seconds: float) -> list[WorkflowExecutionState | None]:
        """The executions as they ended, or as they stand when the time is over."""
        deadline = time.monotonic() + seconds
        states = [wait_for_end(run, deadline - time.monotonic()) for run in runs]
        for run, state in zip(runs, states, strict=True):
            if state is not None and state.status.is_final:
                wait_until_settled(run)
        return states

    def calls_of(self, runs: list[Run]) -> list[Call]:
        """All calls since the first of the runs was submitted."""
        return self.log.read().calls[runs[0].first_call :]

    def rows(
        self, runs: list[Run], states: list[WorkflowExecutionState | None], *, are_answers_sound: bool = True
    ) -> list[DocumentRow]:
        """What became of the documents."""
        return [
            self._row(number, run, state, are_answers_sound)
            for number, (run, state) in enumerate(zip(runs, states, strict=True), 1)
        ]

    def _row(self, number: int, run: Run, state: WorkflowExecutionState | None, are_answers_sound: bool) -> DocumentRow:
        return DocumentRow(
            document=number,
            workers=tuple(dict.fromkeys(call.worker for call in run.own_calls)),
            status=state.status if state is not None else "never opened",
            resumes=state.resumes if state is not None else 0,
            graph_equal=checks.is_graph_equal(run, are_answers_sound=are_answers_sound),
            spurious_or_missing_rows=checks.problems(run, state, are_answers_sound=are_answers_sound),
            failed_items=state.statistics.failed_items if state is not None else 0,
            failed_attempts=self._failed_attempts(run),
            error=state.error if state is not None else None,
        )

    def _failed_attempts(self, run: Run) -> int:
        with psycopg.connect(self.stack.database_url) as connection:
            parameters = (run.job.organization_id, ActivityStatus.FAILED.value)
            row = connection.execute(_FAILED_ATTEMPTS, parameters).fetchone()
        return int(row[0]) if row is not None else 0
