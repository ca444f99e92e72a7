"""What an operator sees: which executions there are, of all organisations, and nothing of their contents."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, select

from knowledge.domain import ExecutionStatus
from knowledge.ids import ExecutionId, FlowRunId, OrganizationId
from tables.session import Database
from tables.workflow import WorkflowExecution

_UNFINISHED = [status for status in ExecutionStatus if not status.is_final]


@dataclass(frozen=True, slots=True)
class ExecutionOverview:
    """An execution as an operator sees it; `holder` is the process that works on it, or None."""

    id: ExecutionId
    organization_id: OrganizationId
    flow_run_id: FlowRunId | None
    status: ExecutionStatus
    resumes: int
    pid: int | None
    host: str | None
    holder: str | None
    started_at: datetime | None


def unfinished_executions(database: Database) -> tuple[ExecutionOverview, ...]:
    """The executions that have not ended, the oldest first.

    Raises:
        StoreUnavailable: the database did not answer.
        ConfigurationError: the database is not migrated, or the login may not take the operator's role.
    """
    return _overviews(database, WorkflowExecution.status.in_(_UNFINISHED))


def executions_of(database: Database, flow_run_ids: Collection[FlowRunId]) -> tuple[ExecutionOverview, ...]:
    """The executions of these flow runs, ended or not, the oldest first.

    Raises:
        StoreUnavailable, ConfigurationError: as `unfinished_executions`.
    """
    return _overviews(database, WorkflowExecution.flow_run_id.in_(list(flow_run_ids)))


def _overviews(database: Database, which: ColumnElement[bool]) -> tuple[ExecutionOverview, ...]:
    run = WorkflowExecution
    columns = (
        *(run.id, run.organization_id, run.flow_run_id, run.status, run.resumes),
        *(run.pid, run.host, run.holder, run.started_at),
    )
    query = select(*columns).where(which, run.deleted_at.is_(None)).order_by(run.created_at, run.id)
    with database.operator_session() as session:
        rows: Sequence[tuple[object, ...]] = [tuple(row) for row in session.execute(query)]
    return tuple(ExecutionOverview(*row) for row in rows)  # pyright: ignore[reportArgumentType]
