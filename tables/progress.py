"""The journal of progress: events of executions as rows, numbered in the order in which they can be seen.

The number comes from the execution's row, whose lock is held until the transaction ends. So of two transactions the one
with the lower numbers has committed before the other gets its own, and a reader that follows by number misses nothing.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import accumulate
from typing import TypeVar

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from knowledge.domain import Stage
from knowledge.errors import NotFound
from knowledge.ids import ExecutionId, OrganizationId, ProgressEventId
from knowledge.progress import ProgressEvent, ProgressStep
from tables.execution_rows import progress_json
from tables.session import Database
from tables.storable import storable_text
from tables.workflow import ProgressEventRow, WorkflowExecution

Number = TypeVar("Number", int, float)

CHANNEL = "knowledge_progress"
"""Where each transaction that appends notifies once: the execution's id, a space, and its last event's number."""

# The row as it was comes along, so that no event says less than the one before, whoever wrote that.
_ADVANCE = text("""
    UPDATE knowledge.workflow_execution AS run SET
        last_event = run.last_event + :count,
        fraction = greatest(run.fraction, CAST(:fraction AS double precision)),
        progress = run.progress || CAST(:progress AS jsonb),
        stage = coalesce(CAST(:stage AS varchar), run.stage),
        model_calls = greatest(run.model_calls, :model_calls),
        cached_calls = greatest(run.cached_calls, :cached_calls)
    FROM (
        SELECT fraction, model_calls, cached_calls FROM knowledge.workflow_execution
        WHERE organization_id = :organization_id AND id = :execution_id AND deleted_at IS NULL FOR NO KEY UPDATE
    ) AS before
    WHERE run.organization_id = :organization_id AND run.id = :execution_id
    RETURNING run.last_event, run.status, before.fraction, before.model_calls, before.cached_calls
""")
_APPEND = text(f"""
    WITH written AS (
        INSERT INTO knowledge.progress_event (organization_id, id, execution_id, number, status, stage, current, total,
            fraction, model_calls, cached_calls, message, happened_at)
        SELECT :organization_id, id, :execution_id, number, :status, stage, current, total,
            fraction, model_calls, cached_calls, message, happened_at
        FROM jsonb_to_recordset(CAST(:events AS jsonb)) AS event(id text, number int, stage text, current int,
            total int, fraction float8, model_calls int, cached_calls int, message text, happened_at timestamptz)
        RETURNING number
    )
    SELECT pg_notify('{CHANNEL}', CAST(:execution_id AS text) || ' ' || max(number)) FROM written
""")
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


def append(session: Session, organization_id: OrganizationId, steps: Sequence[ProgressStep]) -> None:
    """Writes the steps, all of one execution, as its next events, and notes in its row how far it is.

    Their fractions and calls are raised to those of the event before, should they be lower.

    Raises:
        NotFound: the organisation has no such execution.
    """
    steps = _unwritten(session, organization_id, steps)
    if not steps:
        return
    execution_id, last = steps[0].execution_id, steps[-1]
    named = {"organization_id": organization_id, "execution_id": execution_id}
    advance = {
        "count": len(steps),
        "fraction": max(step.fraction for step in steps),
        "progress": json.dumps(progress_json([step.progress for step in steps])),
        "stage": max((step.progress.stage for step in steps), key=list(Stage).index),
        "model_calls": last.model_calls,
        "cached_calls": last.cached_calls,
    }
    row = session.execute(_ADVANCE, {**named, **advance}).one_or_none()
    if row is None:
        raise NotFound("execution", execution_id)
    numbers = range(row.last_event - len(steps) + 1, row.last_event + 1)
    highs = zip(
        _high_marks(row.fraction, [step.fraction for step in steps]),
        _high_marks(row.model_calls, [step.model_calls for step in steps]),
        _high_marks(row.cached_calls, [step.cached_calls for step in steps]),
        strict=True,
    )
    events = [_event(number, step, *high) for number, step, high in zip(numbers, steps, highs, strict=True)]
    session.execute(_APPEND, {**named, "status": row.status, "events": json.dumps(events)})


def _unwritten(
    session: Session, organization_id: OrganizationId, steps: Sequence[ProgressStep]
) -> Sequence[ProgressStep]:
    """The steps without those that a commit whose outcome nobody heard of has written."""
    event, uncertain = ProgressEventRow, [step.id for step in steps if step.is_uncertain]
    if not uncertain:
        return steps
    query = select(event.id).where(event.organization_id == organization_id, event.id.in_(uncertain))
    written = set(session.scalars(query))
    return [step for step in steps if step.id not in written]


def _high_marks(before: Number, values: Sequence[Number]) -> list[Number]:
    """The highest value so far, at each of them."""
    return list(accumulate(values, max, initial=before))[1:]


def _event(number: int, step: ProgressStep, fraction: float, model_calls: int, cached_calls: int) -> dict[str, object]:
    return {
        "id": step.id,
        "number": number,
        "stage": step.progress.stage.value,
        "current": step.progress.completed,
        "total": step.progress.total,
        "fraction": fraction,
        "model_calls": model_calls,
        "cached_calls": cached_calls,
        "message": storable_text(step.progress.message),
        "happened_at": step.at.isoformat(),
    }


def announce(session: Session, organization_id: OrganizationId, execution_id: ExecutionId, message: str = "") -> None:
    """Writes an event that says what the execution's row says now; `message` counts where the row has no error.

    To be called in the transaction that has changed the row's status.
    """
    named = {"organization_id": organization_id, "execution_id": execution_id}
    session.execute(_ANNOUNCE, {**named, "id": ProgressEventId.new(), "message": storable_text(message)})
