"""The journal of progress: events of executions as rows, numbered in the order in which they can be seen.

The number comes from the execution's row, whose lock is held until the transaction ends. So of two transactions the one
with the lower numbers has committed before the other gets its own, and a reader that follows by number misses nothing.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from knowledge.domain import Stage
from knowledge.errors import NotFound
from knowledge.ids import ExecutionId, OrganizationId, ProgressEventId
from knowledge.progress import ProgressEvent, ProgressStep
from tables.execution_rows import progress_json
from tables.session import Cursor, Database
from tables.storable import storable_text
from tables.workflow import ProgressEventRow, WorkflowExecution

CHANNEL = "knowledge_progress"
"""Where each transaction that appends notifies once: the execution's id, a space, and its last event's number."""

# No event says less than the one before, whoever wrote that: the row as it was is where the highest so far begin.
_APPEND = f"""
    WITH event AS (
        SELECT * FROM jsonb_to_recordset(CAST(%(events)s AS jsonb)) AS event(position int, id text, stage text,
            current int, total int, fraction float8, model_calls int, cached_calls int, message text,
            happened_at timestamptz)
    ), before AS (
        SELECT last_event, fraction, model_calls, cached_calls FROM knowledge.workflow_execution
        WHERE organization_id = %(organization_id)s AND id = %(execution_id)s AND deleted_at IS NULL FOR NO KEY UPDATE
    ), run AS (
        UPDATE knowledge.workflow_execution AS run SET
            last_event = before.last_event + %(count)s,
            fraction = greatest(before.fraction, (SELECT max(fraction) FROM event)),
            progress = run.progress || CAST(%(progress)s AS jsonb),
            stage = %(stage)s,
            model_calls = greatest(before.model_calls, (SELECT max(model_calls) FROM event)),
            cached_calls = greatest(before.cached_calls, (SELECT max(cached_calls) FROM event))
        FROM before
        WHERE run.organization_id = %(organization_id)s AND run.id = %(execution_id)s
        RETURNING run.status, run.last_event
    ), written AS (
        INSERT INTO knowledge.progress_event (organization_id, id, execution_id, number, status, stage, current, total,
            fraction, model_calls, cached_calls, message, happened_at)
        SELECT %(organization_id)s, event.id, %(execution_id)s, before.last_event + position, run.status, event.stage,
            current, total, greatest(before.fraction, max(event.fraction) OVER so_far),
            greatest(before.model_calls, max(event.model_calls) OVER so_far),
            greatest(before.cached_calls, max(event.cached_calls) OVER so_far), message, happened_at
        FROM event, before, run
        WINDOW so_far AS (ORDER BY position)
    )
    SELECT pg_notify('{CHANNEL}', CAST(%(execution_id)s AS text) || ' ' || last_event) FROM run
"""
_WRITTEN = "SELECT id FROM knowledge.progress_event WHERE organization_id = %s AND id = ANY(%s::text[])"
_COLUMNS = [getattr(ProgressEventRow, field.name) for field in fields(ProgressEvent)]
_ANNOUNCE = text(f"""
    WITH run AS (
        UPDATE knowledge.workflow_execution SET last_event = last_event + 1
        WHERE organization_id = :organization_id AND id = :execution_id
        RETURNING last_event, status, stage, fraction, model_calls, cached_calls, error
    ), written AS (
        INSERT INTO knowledge.progress_event (organization_id, id, execution_id, number, status, stage,
            fraction, model_calls, cached_calls, message, happened_at)
        SELECT :organization_id, :id, :execution_id, last_event, status, stage,
            fraction, model_calls, cached_calls, coalesce(error, :message), clock_timestamp()
        FROM run
        RETURNING number
    )
    SELECT pg_notify('{CHANNEL}', CAST(:execution_id AS text) || ' ' || number) FROM written
""")


@dataclass(frozen=True, slots=True)
class JournalHead:
    """The number of an execution's last event (0: it has none), and whether the execution is over."""

    number: int
    is_over: bool


class ProgressJournal:
    """One organisation's events. Every method is a transaction of its own.

    All raise StoreUnavailable when the database does not answer.
    """

    def __init__(self, database: Database, organization_id: OrganizationId) -> None:
        self._database = database
        self._organization_id = organization_id

    def head(self, execution_id: ExecutionId) -> JournalHead:
        """Where the execution's journal ends now.

        Raises:
            NotFound: the organisation has no such execution.
        """
        run = WorkflowExecution
        query = select(run.last_event, run.status).where(
            run.organization_id == self._organization_id, run.id == execution_id, run.deleted_at.is_(None)
        )
        with self._database.org_session(self._organization_id) as session:
            row = session.execute(query).one_or_none()
        if row is None:
            raise NotFound("execution", execution_id)
        return JournalHead(row.last_event, row.status.is_final)

    def read(self, execution_id: ExecutionId, after: int, limit: int) -> tuple[ProgressEvent, ...]:
        """The first `limit` events with higher numbers than `after`, in order; none for an unknown execution."""
        event = ProgressEventRow
        theirs = event.organization_id == self._organization_id, event.execution_id == execution_id
        query = select(*_COLUMNS).where(*theirs, event.number > after).order_by(event.number).limit(limit)
        with self._database.org_session(self._organization_id) as session:
            return tuple(ProgressEvent(*row) for row in session.execute(query))


def append(cursor: Cursor, organization_id: OrganizationId, steps: Sequence[ProgressStep]) -> None:
    """Writes the steps, all of one execution, as its next events, and notes in its row how far it is.

    Their fractions and calls are raised to those of the event before, should they be lower.

    Raises:
        NotFound: the organisation has no such execution.
    """
    steps = _unwritten(cursor, organization_id, steps)
    if not steps:
        return
    execution_id = steps[0].execution_id
    values = {
        "organization_id": organization_id,
        "execution_id": execution_id,
        "count": len(steps),
        "progress": json.dumps(progress_json([step.progress for step in steps])),
        "stage": max((step.progress.stage for step in steps), key=list(Stage).index).value,
        "events": json.dumps([_event(position, step) for position, step in enumerate(steps, 1)]),
    }
    if cursor.execute(_APPEND.encode(), values).fetchone() is None:
        raise NotFound("execution", execution_id)


def _unwritten(
    cursor: Cursor, organization_id: OrganizationId, steps: Sequence[ProgressStep]
) -> Sequence[ProgressStep]:
    """The steps without those that a commit whose outcome nobody heard of has written."""
    uncertain = [step.id for step in steps if step.is_uncertain]
    if not uncertain:
        return steps
    written = {id_ for (id_,) in cursor.execute(_WRITTEN, (organization_id, uncertain)).fetchall()}
    return [step for step in steps if step.id not in written]


def _event(position: int, step: ProgressStep) -> dict[str, object]:
    return {
        "position": position,
        "id": step.id,
        "stage": step.progress.stage.value,
        "current": step.progress.completed,
        "total": step.progress.total,
        "fraction": step.fraction,
        "model_calls": step.model_calls,
        "cached_calls": step.cached_calls,
        "message": storable_text(step.progress.message),
        "happened_at": step.at.isoformat(),
    }


def announce(session: Session, organization_id: OrganizationId, execution_id: ExecutionId, message: str = "") -> None:
    """Writes an event that says what the execution's row says now; `message` counts where the row has no error.

    To be called in the transaction that has changed the row's status.
    """
    named = {"organization_id": organization_id, "execution_id": execution_id}
    session.execute(_ANNOUNCE, {**named, "id": ProgressEventId.new(), "message": storable_text(message)})
