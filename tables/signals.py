"""Signals to executions as rows: numbered in the order of sending, and acted on once."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import cast

from sqlalchemy import ColumnElement, CursorResult, Select, func, insert, select, update
from sqlalchemy.orm import Session

from knowledge.domain import ExecutionStatus
from knowledge.errors import NotFound, SignalRefused
from knowledge.ids import ExecutionId, OrganizationId, SignalId
from knowledge.signals import Signal, SignalName, standing_of
from tables import activities
from tables.progress import announce
from tables.session import Database
from tables.storable import storable_json, storable_text
from tables.workflow import WorkflowExecution, WorkflowSignal

CHANNEL = "knowledge_signals"
"""Where each signal notifies when it is sent: the execution's id."""
_FINAL = tuple(status for status in ExecutionStatus if status.is_final)


class Signals:
    """One organisation's signals. Every method is a transaction of its own.

    All raise StoreUnavailable when the database does not answer.
    """

    def __init__(self, database: Database, organization_id: OrganizationId) -> None:
        self._database = database
        self._organization_id = organization_id

    def send(self, execution_id: ExecutionId, name: SignalName, payload: Mapping[str, object], sent_by: str) -> Signal:
        """The signal as recorded: durable, and numbered after all sent before it, by whomever.

        Raises:
            NotFound: the organisation has no such execution.
            SignalRefused: the execution is over, or the signal decides a review that it has not, or not any more.
        """
        with self._database.org_session(self._organization_id) as session:
            # The row's lock makes senders take turns; only what begins after it sees the number before.
            self._lock_unfinished(session, execution_id, name)
            session.execute(select(func.set_config("app.actor", storable_text(sent_by), True)))
            signal = WorkflowSignal
            last = select(func.coalesce(func.max(signal.number), 0)).where(self._of(execution_id))
            row = insert(signal).values(
                organization_id=self._organization_id,
                id=SignalId.new(),
                execution_id=execution_id,
                number=last.scalar_subquery() + 1,
                name=name,
                payload=storable_json(payload),
                sent_at=func.clock_timestamp(),
                sent_by=storable_text(sent_by),
            )
            sent = _signal_of(session.scalars(row.returning(signal)).one())
            session.execute(select(func.pg_notify(CHANNEL, execution_id)))
            return sent

    def history(self, execution_id: ExecutionId) -> tuple[Signal, ...]:
        """All signals to the execution, in the order of their numbers; none for an unknown execution."""
        with self._database.org_session(self._organization_id) as session:
            return self._history(session, execution_id)

    def pending(self, execution_id: ExecutionId) -> tuple[Signal, ...]:
        """Those of them that nobody has acted on."""
        return tuple(signal for signal in self.history(execution_id) if signal.acted_at is None)

    def act(self, signal_id: SignalId, outcome: str) -> bool:
        """Notes what came of a signal. Whether this call did: False if it was acted on before, or is not there."""
        signal = WorkflowSignal
        acted = (
            update(signal)
            .where(signal.organization_id == self._organization_id, signal.id == signal_id, signal.acted_at.is_(None))
            .values(acted_at=func.clock_timestamp(), outcome=storable_text(outcome))
        )
        with self._database.org_session(self._organization_id) as session:
            return cast(CursorResult[tuple[()]], session.execute(acted)).rowcount == 1

    def show(self, execution_id: ExecutionId, status: ExecutionStatus) -> None:
        """Gives an unfinished execution this status."""
        run = WorkflowExecution
        changes = update(run).where(self._unfinished(execution_id), run.status != status).values(status=status)
        with self._database.org_session(self._organization_id) as session:
            if cast(CursorResult[tuple[()]], session.execute(changes)).rowcount == 1:
                announce(session, self._organization_id, execution_id)

    def cancel(self, execution_id: ExecutionId, reason: str) -> bool:
        """Ends an unfinished execution as cancelled, with what it has cost, and all its signals with it.

        Whether this call did: False if it had ended before.
        """
        run = WorkflowExecution
        with self._database.org_session(self._organization_id) as session:
            activities.interrupt(session, self._organization_id, execution_id)
            spent = asdict(activities.totals(session, self._organization_id, execution_id))
            seconds = func.coalesce(func.extract("epoch", func.now() - run.started_at), 0)
            changes = {**spent, "status": ExecutionStatus.CANCELLED, "error": storable_text(reason)}
            ended = update(run).where(self._unfinished(execution_id))
            ended = ended.values({**changes, "ended_at": func.now(), "seconds": seconds})
            was_first = cast(CursorResult[tuple[()]], session.execute(ended)).rowcount == 1
            if was_first:
                announce(session, self._organization_id, execution_id)
            outcome = "cancelled" if was_first else "too late: the execution had ended"
            pending = update(WorkflowSignal).where(self._of(execution_id), WorkflowSignal.acted_at.is_(None))
            session.execute(pending.values(acted_at=func.clock_timestamp(), outcome=outcome))
            return was_first

    def _lock_unfinished(self, session: Session, execution_id: ExecutionId, name: SignalName) -> None:
        run = WorkflowExecution
        query = select(run.status, run.ended_at, run.parameters).where(self._row(execution_id))
        # Without the key: attempts, which refer to the row, go on being written.
        found = session.execute(query.with_for_update(key_share=True)).one_or_none()
        if found is None:
            raise NotFound("execution", execution_id)
        status, ended_at, parameters = found
        if status.is_final:
            since = f" since {ended_at:%Y-%m-%d %H:%M:%S %Z}" if ended_at else ""
            raise SignalRefused(f"execution {execution_id} is {status.value}{since}: signals no longer reach it")
        if name.is_decision:
            self._require_undecided(session, execution_id, under_review=parameters.get("review") is True)

    def _require_undecided(self, session: Session, execution_id: ExecutionId, *, under_review: bool) -> None:
        if not under_review:
            raise SignalRefused(f"execution {execution_id} was not started with review: there is nothing to decide")
        decision = standing_of(self._history(session, execution_id)).decision
        if decision is not None:
            raise SignalRefused(
                f"execution {execution_id} is decided: {decision.sent_by} sent {decision.name.value} "
                f"at {decision.sent_at:%Y-%m-%d %H:%M:%S %Z}"
            )

    def _history(self, session: Session, execution_id: ExecutionId) -> tuple[Signal, ...]:
        signal = WorkflowSignal
        query: Select[WorkflowSignal] = select(signal).where(self._of(execution_id)).order_by(signal.number)
        return tuple(_signal_of(row) for row in session.scalars(query))

    def _of(self, execution_id: ExecutionId) -> ColumnElement[bool]:
        signal = WorkflowSignal
        return (signal.organization_id == self._organization_id) & (signal.execution_id == execution_id)

    def _row(self, execution_id: ExecutionId) -> ColumnElement[bool]:
        run = WorkflowExecution
        return (run.organization_id == self._organization_id) & (run.id == execution_id) & run.deleted_at.is_(None)

    def _unfinished(self, execution_id: ExecutionId) -> ColumnElement[bool]:
        return self._row(execution_id) & WorkflowExecution.status.not_in(_FINAL)


def _signal_of(row: WorkflowSignal) -> Signal:
    return Signal(
        id=row.id,
        execution_id=row.execution_id,
        number=row.number,
        name=row.name,
        payload=row.payload,
        sent_at=row.sent_at,
        sent_by=row.sent_by,
        acted_at=row.acted_at,
        outcome=row.outcome,
    )
