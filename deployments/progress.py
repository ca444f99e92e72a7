"""`knowledge progress`: how far an execution is, and what it was told."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime

from deployments.database import open_database
from deployments.glance import Glance, current_stage
from knowledge.domain import ExecutionStatus, ExtractionProgress, WorkflowExecutionState
from knowledge.ids import ExecutionId, OrganizationId
from knowledge.progress import ProgressEvent
from knowledge.settings import Settings
from knowledge.signals import Signal
from tables.ledger import Ledger
from tables.progress_stream import ProgressListener
from tables.signals import Signals

_BAR_CHARACTERS = 20
_WIDTH_WITH_BARS = 60


@dataclass(frozen=True, slots=True)
class ProgressReport:
    """An execution as the tables have it."""

    state: WorkflowExecutionState
    stages: tuple[ExtractionProgress, ...]
    signals: tuple[Signal, ...]

    def as_json(self) -> dict[str, object]:
        """The object that `progress --json` prints; times in ISO 8601."""
        state = self.state
        return {
            "execution_id": state.id,
            "flow_run_id": state.flow_run_id,
            "document": state.document_name,
            "status": state.status.value,
            "stage": state.stage and state.stage.value,
            "resumes": state.resumes,
            "error": state.error,
            "fraction": state.fraction,
            "model_calls": state.statistics.model_calls,
            "cached_calls": state.statistics.cached_calls,
            "started_at": _iso(state.started_at),
            "ended_at": _iso(state.ended_at),
            "stages": [
                {"stage": step.stage.value, "completed": step.completed, "total": step.total, "message": step.message}
                for step in self.stages
            ],
            "signals": [_signal_json(signal) for signal in self.signals],
        }

    def glance(self) -> Glance:
        """The execution in a line."""
        state, spent = self.state, self.state.statistics
        is_at_work = state.status is ExecutionStatus.RUNNING
        doing = current_stage(self.stages).value if is_at_work else state.status.value
        return Glance(state.document_name, doing, state.fraction, spent.model_calls, spent.cached_calls)

    def lines(self, width: int) -> Iterator[str]:
        """The same for people; lines that quote nobody are at most `width` cells wide."""
        state = self.state
        yield self.glance().line(width)
        if state.error:
            yield f"  {state.error}"
        for step in self.stages:
            full = round(step.fraction * _BAR_CHARACTERS)
            bar = "█" * full + "░" * (_BAR_CHARACTERS - full) + " " if width >= _WIDTH_WITH_BARS else ""
            yield f"  {step.stage.value:11} {bar}{step.completed}/{step.total} {step.message}".rstrip()
        for signal in self.signals:
            outcome = signal.outcome or "not acted on yet"
            reason = f" ({signal.reason})" if signal.reason else ""
            yield f"  signal {signal.number}: {signal.name.value}{reason} by {signal.sent_by}: {outcome}"


def execution_progress(
    settings: Settings, organization_id: OrganizationId, execution_id: ExecutionId
) -> ProgressReport:
    """How the execution stands now.

    Raises:
        NotFound: the organisation has no such execution.
        ConfigurationError: no stack runs and no `DATABASE_URL` is set.
    """
    with open_database(settings) as database:
        ledger = Ledger(database, organization_id)
        state = ledger.load(execution_id)
        history = Signals(database, organization_id).history(execution_id)
        return ProgressReport(state, ledger.load_progress(execution_id), history)


def follow_progress(
    settings: Settings,
    organization_id: OrganizationId,
    execution_id: ExecutionId,
    tell: Callable[[str, Sequence[ProgressEvent]], None],
) -> WorkflowExecutionState:
    """The execution when it is over; `tell` hears, with its document's name, of what has happened to it and happens.

    Raises:
        NotFound, ConfigurationError: as `execution_progress`.
    """
    with open_database(settings) as database:
        ledger = Ledger(database, organization_id)
        name = ledger.load(execution_id).document_name

        async def follow() -> None:
            async with (
                ProgressListener(database) as listener,
                aclosing(listener.stream(organization_id).batches(execution_id)) as batches,
            ):
                async for events in batches:
                    tell(name, events)

        asyncio.run(follow())
        return ledger.load(execution_id)


def _signal_json(signal: Signal) -> dict[str, object]:
    return {
        "number": signal.number,
        "name": signal.name.value,
        "payload": dict(signal.payload),
        "sent_at": _iso(signal.sent_at),
        "sent_by": signal.sent_by,
        "acted_at": _iso(signal.acted_at),
        "outcome": signal.outcome,
    }


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
