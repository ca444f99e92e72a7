"""Activities: the attempts of an execution's stages on their items, as rows."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime
from typing import cast

from psycopg.errors import ForeignKeyViolation
from sqlalchemy import ColumnElement, CursorResult, Subquery, and_, func, not_, or_, select, update
from sqlalchemy.orm import Session

from knowledge.domain import ActivityStatus, ExecutionStatistics, Stage, Usage
from knowledge.errors import NotFound
from knowledge.ids import ActivityId, ExecutionId, OrganizationId
from tables.session import Cursor
from tables.storable import storable_text
from tables.workflow import WorkflowActivity

# An attempt is known by these, not by its id alone.
_KEY = ("organization_id", "execution_id", "stage", "item", "attempt")
_OUTCOME = (
    *("status", "started_at", "ended_at", "cache_key", "cache_hit", "error", "given_up"),
    *(field.name for field in fields(Usage)),
)
_COLUMNS = ", ".join(("id", *_KEY, *_OUTCOME))
# Each answer writes here: to build such a statement anew takes longer than to send it.
# A report of the start that comes late, or again, must not reopen what has ended.
_UPSERT = f"""
    INSERT INTO knowledge.workflow_activity AS act ({_COLUMNS})
    SELECT {_COLUMNS} FROM json_populate_recordset(NULL::knowledge.workflow_activity, %(rows)s::json)
    ON CONFLICT ({", ".join(_KEY)}) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in _OUTCOME)}
    WHERE excluded.status <> '{ActivityStatus.RUNNING}' OR act.status = '{ActivityStatus.RUNNING}'
"""


@dataclass(frozen=True, slots=True)
class ActivityRecord:
    """One attempt of a stage on an item (a chunk's index, say, as text; short). Attempts count from 1.

    `usage` is what the answer cost when it was asked for, also where `cache_hit` says that it was not asked now.
    `given_up`: the execution does not ask for the item again. Times are aware.
    """

    id: ActivityId
    execution_id: ExecutionId
    stage: Stage
    item: str
    attempt: int
    status: ActivityStatus
    started_at: datetime
    ended_at: datetime | None = None
    cache_key: str | None = None
    cache_hit: bool = False
    error: str | None = None
    given_up: bool = False
    usage: Usage = field(default_factory=Usage)


@dataclass(frozen=True, slots=True)
class EarlierAttempts:
    """What an execution's attempts so far mean to the next process.

    By stage and item: the highest number, and how many have failed (those broken off by a death do not count). By
    cache key: why the execution has given an item up. And what all of it has cost.
    """

    highest: Mapping[tuple[Stage, str], int]
    failed: Mapping[tuple[Stage, str], int]
    given_up: Mapping[str, str]
    spent: ExecutionStatistics


def record(cursor: Cursor, organization_id: OrganizationId, batch: Sequence[ActivityRecord]) -> None:
    """Writes the attempts in one statement; of several records of one attempt the last counts.

    An attempt is known by execution, stage, item and number, not by its id alone: what a dying process wrote
    while its successor counted the attempts must not stop the successor.

    Raises:
        NotFound: a record names an execution that the organisation does not have.
    """
    rows = {(act.execution_id, act.stage, act.item, act.attempt): _row(organization_id, act) for act in batch}
    try:
        cursor.execute(_UPSERT.encode(), {"rows": json.dumps(list(rows.values()))})
    except ForeignKeyViolation as error:
        raise NotFound("execution", ", ".join(sorted({activity.execution_id for activity in batch}))) from error


def _row(organization_id: OrganizationId, activity: ActivityRecord) -> dict[str, object]:
    return {
        "organization_id": organization_id,
        "id": activity.id,
        "execution_id": activity.execution_id,
        "stage": activity.stage,
        "item": storable_text(activity.item),
        "attempt": activity.attempt,
        "status": activity.status,
        "started_at": activity.started_at.isoformat(),
        "ended_at": activity.ended_at and activity.ended_at.isoformat(),
        "cache_key": activity.cache_key,
        "cache_hit": activity.cache_hit,
        "error": None if activity.error is None else storable_text(activity.error),
        "given_up": activity.given_up,
        **asdict(activity.usage),
    }


def of_execution(
    session: Session, organization_id: OrganizationId, execution_id: ExecutionId
) -> tuple[ActivityRecord, ...]:
    """All attempts of the execution, in the order of their beginning."""
    act = WorkflowActivity
    query = select(act).where(*_of(organization_id, execution_id)).order_by(act.started_at, act.stage, act.item)
    return tuple(_record_of(row) for row in session.scalars(query))


def _record_of(row: WorkflowActivity) -> ActivityRecord:
    return ActivityRecord(
        id=row.id,
        execution_id=row.execution_id,
        stage=row.stage,
        item=row.item,
        attempt=row.attempt,
        status=row.status,
        started_at=row.started_at,
        ended_at=row.ended_at,
        cache_key=row.cache_key,
        cache_hit=row.cache_hit,
        error=row.error,
        given_up=row.given_up,
        usage=Usage(row.model_calls, row.embedding_calls, row.input_tokens, row.output_tokens),
    )


def taken_over(session: Session, organization_id: OrganizationId, execution_id: ExecutionId) -> "EarlierAttempts":
    """What processes before this one have left; what they left running is interrupted now."""
    act = WorkflowActivity
    query = (
        select(
            *(act.stage, act.item, func.max(act.attempt)),
            func.count().filter(act.status == ActivityStatus.FAILED),
            func.count().filter(act.status == ActivityStatus.RUNNING),
            func.max(act.cache_key).filter(act.given_up),
            func.max(act.error).filter(act.given_up),
        )
        .where(*_of(organization_id, execution_id))
        .group_by(act.stage, act.item)
    )
    items = session.execute(query).all()
    if not items:
        return EarlierAttempts({}, {}, {}, ExecutionStatistics())
    if any(running for *_, running, _, _ in items):
        interrupt(session, organization_id, execution_id)
    return EarlierAttempts(
        highest={(stage, item): attempt for stage, item, attempt, *_ in items},
        failed={(stage, item): failed for stage, item, _, failed, *_ in items if failed},
        given_up={key: error or "" for *_, key, error in items if key is not None},
        spent=totals(session, organization_id, execution_id),
    )


def last_begun(
    session: Session, organization_id: OrganizationId, execution_id: ExecutionId
) -> tuple[Stage, str] | None:
    """Stage and item of the attempt that began last, one that was broken off before all others."""
    act = WorkflowActivity
    broken_off = act.status.in_([ActivityStatus.RUNNING, ActivityStatus.INTERRUPTED])
    query = (
        select(act.stage, act.item)
        .where(*_of(organization_id, execution_id))
        .order_by(broken_off.desc(), act.started_at.desc(), act.attempt.desc())
        .limit(1)
    )
    found = session.execute(query).first()
    return None if found is None else (found[0], found[1])


def interrupt(session: Session, organization_id: OrganizationId, execution_id: ExecutionId) -> int:
    """Closes running attempts as interrupted, now; their number."""
    closed = (
        update(WorkflowActivity)
        .where(*_of(organization_id, execution_id), WorkflowActivity.status == ActivityStatus.RUNNING)
        .values(status=ActivityStatus.INTERRUPTED, ended_at=func.greatest(func.now(), WorkflowActivity.started_at))
    )
    return cast(CursorResult[tuple[()]], session.execute(closed)).rowcount


def totals(session: Session, organization_id: OrganizationId, execution_id: ExecutionId) -> ExecutionStatistics:
    """What the attempts add up to.

    Calls and tokens are those of the attempts that asked a model; `cached_calls` are the chat model's calls behind
    the answers that this execution only read. An answer that it read after having asked for it counts once, as
    asked, also where it died between asking and recording. `failed_items` are those whose last attempt failed.
    """
    row = _ranked(organization_id, execution_id).c
    only_read = and_(row.age == 1, row.cache_hit, not_(row.answered_here))
    asked = or_(not_(row.cache_hit), and_(only_read, row.broken_off_here))
    query = select(
        _sum(row.model_calls, asked),
        _sum(row.model_calls, and_(only_read, not_(row.broken_off_here))),
        _sum(row.embedding_calls, asked),
        _sum(row.input_tokens, asked),
        _sum(row.output_tokens, asked),
        func.count().filter(row.age == 1, row.status == ActivityStatus.FAILED),
    )
    calls, cached, embedded, read, written, failed = session.execute(query).one()
    return ExecutionStatistics(
        model_calls=int(calls),
        cached_calls=int(cached),
        embedding_calls=int(embedded),
        input_tokens=int(read),
        output_tokens=int(written),
        failed_items=failed,
    )


def _ranked(organization_id: OrganizationId, execution_id: ExecutionId) -> Subquery:
    """The attempts, each with its age (1 is the item's last) and how the item's attempts that asked ended."""
    act = WorkflowActivity
    item = (act.stage, act.item)

    def any_asked(*statuses: ActivityStatus) -> ColumnElement[bool]:
        return func.bool_or(and_(not_(act.cache_hit), act.status.in_(statuses))).over(partition_by=item)

    return (
        select(
            *(act.model_calls, act.embedding_calls, act.input_tokens, act.output_tokens, act.status, act.cache_hit),
            any_asked(ActivityStatus.COMPLETED).label("answered_here"),
            any_asked(ActivityStatus.INTERRUPTED, ActivityStatus.CANCELLED).label("broken_off_here"),
            func.row_number().over(partition_by=item, order_by=act.attempt.desc()).label("age"),
        )
        .where(*_of(organization_id, execution_id))
        .subquery()
    )


def _sum(column: ColumnElement[int], among: ColumnElement[bool]) -> ColumnElement[int]:
    return func.coalesce(func.sum(column).filter(among), 0)


def _of(organization_id: OrganizationId, execution_id: ExecutionId) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return WorkflowActivity.organization_id == organization_id, WorkflowActivity.execution_id == execution_id
