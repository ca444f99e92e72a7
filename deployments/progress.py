"""`knowledge progress`: how far an execution is, and what it was told."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from deployments.database import open_database
from knowledge.domain import ExtractionProgress, WorkflowExecutionState
from knowledge.ids import ExecutionId, OrganizationId
from knowledge.settings import Settings
from knowledge.signals import Signal
from tables.ledger import Ledger
from tables.signals import Signals

_BAR_CHARACTERS = 20


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
            "started_at": _iso(state.started_at),
            "ended_at": _iso(state.ended_at),
            "stages": [
                {"stage": step.stage.value, "completed": step.completed, "total": step.total, "message": step.message}
                for step in self.stages
            ],
            "signals": [_signal_json(signal) for signal in self.signals],
        }

    def lines(self) -> Iterator[str]:
        """The same for people."""
        state = self.state
        yield f"{state.document_name}: {state.status.value}" + (f", {state.error}" if state.error else "")
        for step in self.stages:
            full = round(step.fraction * _BAR_CHARACTERS)
            bar = "█" * full + "░" * (_BAR_CHARACTERS - full)
            yield f"  {step.stage.value:11} {bar} {step.completed}/{step.total} {step.message}".rstrip()
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
