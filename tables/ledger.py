"""The ledger: what every execution did and does, whatever happens to those who do it."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, replace

from sqlalchemy import Select, Update, func, select, tuple_, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from knowledge.domain import (
    ExecutionStatistics,
    ExecutionStatus,
    ExtractionProgress,
    Stage,
    WorkflowExecutionState,
)
from knowledge.errors import NotFound
from knowledge.ids import DocumentId, ExecutionId, ExtractionId, FlowRunId, OntologyId, OrganizationId
from knowledge.progress import ProgressStep
from tables import activities, progress, results
from tables.activities import ActivityRecord, EarlierAttempts
from tables.execution_rows import progress_of, state_of
from tables.extractions import ensure_extraction
from tables.session import Database
from tables.storable import storable_json, storable_text
from tables.workflow import WorkflowExecution

_REREAD = {"populate_existing": True}


class Ledger:
    """One organisation's executions. Every method is a transaction of its own.

    All raise StoreUnavailable when the database does not answer, and those that take an `execution_id`
    raise NotFound when the organisation has no such execution.
    """

    def __init__(self, database: Database, organization_id: OrganizationId) -> None:
        self._database = database
        self._organization_id = organization_id

    def open_execution(
        self,
        flow_run_id: FlowRunId | None,
        *,
        document_name: str,
        parameters: Mapping[str, object],
        pid: int,
        host: str,
        holder: str | None = None,
    ) -> WorkflowExecutionState:
        """The execution that `take_up` has begun or gone on with."""
        return self.take_up(
            flow_run_id, document_name=document_name, parameters=parameters, pid=pid, host=host, holder=holder
        )[1]

    def take_up(
        self,
        flow_run_id: FlowRunId | None,
        *,
        document_name: str,
        parameters: Mapping[str, object],
        pid: int,
        host: str,
        holder: str | None = None,
    ) -> tuple[ExecutionStatus | None, WorkflowExecutionState]:
        """The running execution of this flow run, after the status that it had: None, if it is a new one.

        `holder` is who works on it from now on. An earlier end or error of it is forgotten.
        """
        run = WorkflowExecution
        row = insert(run).values(
            **self._new(document_name, parameters),
            flow_run_id=flow_run_id,
            status=ExecutionStatus.RUNNING,
            pid=pid,
            host=host,
            holder=holder,
            started_at=func.now(),
        )
        upsert = row.on_conflict_do_update(
            index_elements=["organization_id", "flow_run_id"],
            set_={
                **{name: row.excluded[name] for name in ("status", "pid", "host", "holder")},
                "started_at": func.coalesce(run.started_at, func.now()),
                "ended_at": None,
                "error": None,
            },
        ).returning(run)
        mine = run.organization_id == self._organization_id, run.flow_run_id == flow_run_id
        with self._session() as session:
            before = session.scalar(select(run.status).where(*mine, run.deleted_at.is_(None)))
            state = state_of(session.scalars(upsert, execution_options=_REREAD).one())
            self._announce(session, state.id, f"taken up again ({state.resumes})" if state.resumes else "begun")
            return before, state

    def await_process(self, execution_id: ExecutionId, *, counted: bool) -> WorkflowExecutionState:
        """The execution, now waiting for a process to take it up; whoever held it has it no more.

        With `counted`, a process of it has died, and this is a resume.
        """
        run = WorkflowExecution
        changes = self._update(execution_id).values(
            status=ExecutionStatus.PENDING,
            holder=None,
            ended_at=None,
            error=None,
            resumes=run.resumes + int(counted),
        )
        return self._announced(changes, execution_id, "waits for a process")

    def set_aside(self, execution_id: ExecutionId, reason: str) -> WorkflowExecutionState:
        """The execution, without a process until what `reason` says has come about."""
        changes = self._update(execution_id).values(
            status=ExecutionStatus.WAITING, error=storable_text(reason), holder=None
        )
        return self._announced(changes, execution_id)

    def is_held_by(self, execution_id: ExecutionId, holder: str) -> bool:
        """Whether the execution is under way, or paused, and `holder` is who works on it."""
        run = WorkflowExecution
        at_work = (ExecutionStatus.RUNNING, ExecutionStatus.PAUSED)
        query = self._select().where(run.id == execution_id, run.holder == holder, run.status.in_(at_work))
        with self._session() as session:
            return session.scalar(query) is not None

    def expect_execution(
        self, flow_run_id: FlowRunId, *, document_name: str, parameters: Mapping[str, object]
    ) -> WorkflowExecutionState:
        """The execution of this flow run; one that waits for its first process, if it has none yet."""
        row = insert(WorkflowExecution).values(
            **self._new(document_name, parameters), flow_run_id=flow_run_id, status=ExecutionStatus.PENDING
        )
        query = self._select().where(WorkflowExecution.flow_run_id == flow_run_id)
        unless_there = row.on_conflict_do_nothing(index_elements=["organization_id", "flow_run_id"])
        with self._session() as session:
            is_new = session.scalar(unless_there.returning(WorkflowExecution.id)) is not None
            state = state_of(session.scalars(query).one())
            if is_new:
                self._announce(session, state.id)
            return state

    def refuse(self, document_name: str, parameters: Mapping[str, object], error: str) -> WorkflowExecutionState:
        """The failed execution that records why a request was refused before there was a flow run."""
        row = insert(WorkflowExecution).values(
            **self._new(document_name, parameters),
            status=ExecutionStatus.FAILED,
            error=storable_text(error),
            ended_at=func.now(),
        )
        with self._session() as session:
            state = state_of(session.scalars(row.returning(WorkflowExecution)).one())
            self._announce(session, state.id)
            return state

    def bind(
        self,
        execution_id: ExecutionId,
        document_id: DocumentId,
        ontology_id: OntologyId,
        extraction_id: ExtractionId,
        *,
        document_name: str | None = None,
        models: Mapping[str, object] | None = None,
        options: Mapping[str, object] | None = None,
    ) -> WorkflowExecutionState:
        """The execution, now known to make this extraction; `document_name` replaces the name that it was opened under.

        Raises:
            NotFound: also when the document or the ontology is not stored.
        """
        name = {} if document_name is None else {"document_name": storable_text(document_name)}
        changes = self._update(execution_id).values(
            document_id=document_id, ontology_id=ontology_id, extraction_id=extraction_id, **name
        )
        with self._session() as session:
            ensure_extraction(
                session,
                self._organization_id,
                extraction_id,
                document_id,
                ontology_id,
                models=models,
                options=options,
            )
            return _changed(session, changes, execution_id)

    def close_execution(
        self,
        execution_id: ExecutionId,
        status: ExecutionStatus,
        error: str | None,
        statistics: ExecutionStatistics,
        *,
        adds_attempts: bool = False,
    ) -> WorkflowExecutionState:
        """The execution at its end, with its numbers; `error` says why, unless it completed.

        With `adds_attempts` what it cost is what its attempts add up to, those of earlier processes too.
        """
        with self._session() as session:
            if adds_attempts:
                spent = activities.totals(session, self._organization_id, execution_id)
                statistics = with_costs(statistics, spent)
            changes = self._update(execution_id).values(
                status=status,
                error=None if error is None else storable_text(error),
                ended_at=func.now(),
                fraction=1.0 if status is ExecutionStatus.COMPLETED else WorkflowExecution.fraction,
                **asdict(statistics),
            )
            state = _changed(session, changes, execution_id)
            self._announce(session, execution_id)
            return state

    def load(self, execution_id: ExecutionId) -> WorkflowExecutionState:
        """The execution as it stands."""
        with self._session() as session:
            return state_of(self._row(session, execution_id))

    def find_by_flow_run(self, flow_run_id: FlowRunId) -> WorkflowExecutionState | None:
        """The flow run's execution, or None if it has opened none."""
        query = self._select().where(WorkflowExecution.flow_run_id == flow_run_id)
        with self._session() as session:
            row = session.scalar(query)
            return None if row is None else state_of(row)

    def list_executions(
        self, limit: int = 100, before: ExecutionId | None = None
    ) -> tuple[WorkflowExecutionState, ...]:
        """The latest `limit` executions, the newest first; of those that come after `before` in this order, if given.

        Raises:
            NotFound: the organisation has no execution `before`.
        """
        run = WorkflowExecution
        query = self._select().order_by(run.created_at.desc(), run.id.desc()).limit(limit)
        with self._session() as session:
            if before is not None:
                last = self._row(session, before)
                query = query.where(tuple_(run.created_at, run.id) < tuple_(last.created_at, last.id))
            return tuple(state_of(row) for row in session.scalars(query))

    def load_progress(self, execution_id: ExecutionId) -> tuple[ExtractionProgress, ...]:
        """How far each stage is that has said so, in the order of the stages."""
        with self._session() as session:
            return progress_of(self._row(session, execution_id).progress)

    def record_activities(
        self,
        batch: Sequence[ActivityRecord],
        steps: Sequence[ProgressStep] = (),
        answers: Mapping[str, bytes] | None = None,
    ) -> None:
        """Writes attempts, new or changed, steps forward of one execution, and stage results by key: all or nothing.

        Writing an attempt or an answer again changes nothing; each step is an event.

        Raises:
            NotFound: one names an execution that this organisation does not have.
            ResultNotPersisted: an answer is not stored as it was given.
        """
        if not batch and not steps and not answers:
            return
        with self._database.org_cursor(self._organization_id) as cursor:
            if answers:
                results.store(cursor, self._organization_id, answers)
            if batch:
                activities.record(cursor, self._organization_id, batch)
            if steps:
                progress.append(cursor, self._organization_id, steps)

    def load_activities(self, execution_id: ExecutionId) -> tuple[ActivityRecord, ...]:
        """All attempts of the execution, in the order of their beginning."""
        with self._session() as session:
            return activities.of_execution(session, self._organization_id, execution_id)

    def take_over(self, execution_id: ExecutionId) -> tuple[EarlierAttempts, tuple[ExtractionProgress, ...]]:
        """What earlier processes have left, and how far each stage is; what they left running is interrupted."""
        with self._session() as session:
            row = self._row(session, execution_id)
            return activities.taken_over(session, self._organization_id, execution_id), progress_of(row.progress)

    def last_activity(self, execution_id: ExecutionId) -> tuple[Stage, str] | None:
        """Stage and item of the attempt that began last, one that never ended before all others."""
        with self._session() as session:
            return activities.last_begun(session, self._organization_id, execution_id)

    def interrupt_running(self, execution_id: ExecutionId) -> int:
        """Closes the attempts that a dead process left running, as interrupted; their number."""
        with self._session() as session:
            return activities.interrupt(session, self._organization_id, execution_id)

    def statistics(self, execution_id: ExecutionId) -> ExecutionStatistics:
        """Calls, tokens and failed items as the attempts have them; the other numbers are 0."""
        with self._session() as session:
            return activities.totals(session, self._organization_id, execution_id)

    def _session(self) -> AbstractContextManager[Session]:
        return self._database.org_session(self._organization_id)

    def _announced(self, changes: Update, execution_id: ExecutionId, message: str = "") -> WorkflowExecutionState:
        """The execution after these changes of its status, with an event that tells of them."""
        with self._session() as session:
            state = _changed(session, changes, execution_id)
            self._announce(session, execution_id, message)
            return state

    def _announce(self, session: Session, execution_id: ExecutionId, message: str = "") -> None:
        progress.announce(session, self._organization_id, execution_id, message)

    def _new(self, document_name: str, parameters: Mapping[str, object]) -> dict[str, object]:
        return {
            "organization_id": self._organization_id,
            "id": ExecutionId.new(),
            "document_name": storable_text(document_name),
            "parameters": storable_json(parameters),
        }

    def _select(self) -> Select[WorkflowExecution]:
        run = WorkflowExecution
        return select(run).where(run.organization_id == self._organization_id, run.deleted_at.is_(None))

    def _row(self, session: Session, execution_id: ExecutionId) -> WorkflowExecution:
        row = session.scalar(self._select().where(WorkflowExecution.id == execution_id))
        if row is None:
            raise NotFound("execution", execution_id)
        return row

    def _update(self, execution_id: ExecutionId) -> Update:
        run = WorkflowExecution
        return update(run).where(run.organization_id == self._organization_id, run.id == execution_id)


def with_costs(found: ExecutionStatistics, spent: ExecutionStatistics) -> ExecutionStatistics:
    """`found`, with the calls and tokens of `spent`, and the failed items of whichever has more."""
    return replace(
        found,
        model_calls=spent.model_calls,
        cached_calls=spent.cached_calls,
        embedding_calls=spent.embedding_calls,
        input_tokens=spent.input_tokens,
        output_tokens=spent.output_tokens,
        failed_items=max(found.failed_items, spent.failed_items),
    )


def _changed(session: Session, changes: Update, execution_id: ExecutionId) -> WorkflowExecutionState:
    row = session.scalar(changes.returning(WorkflowExecution), execution_options=_REREAD)
    if row is None:
        raise NotFound("execution", execution_id)
    return state_of(row)
