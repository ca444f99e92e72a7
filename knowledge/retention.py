"""What of an organisation's past may go, and when: rules without a database.

A graph rests on its documents, ontology, extraction, entities, facts and evidence, none of which ages. It also rests
on the execution that gave it (exports name it) and those that first published its rows (`source` names them). The
attempts of these that name a stored answer say which answers the graph was made from, and keep them.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from knowledge.settings import RetentionSettings


class Fate(StrEnum):
    """What becomes of a finished execution: `shorten` takes its details and leaves what its graph rests on."""

    KEEP = "keep"
    SHORTEN = "shorten"
    REMOVE = "remove"


@dataclass(frozen=True, slots=True)
class FinishedExecution:
    """An execution that is over. `rank` counts the organisation's finished ones from the newest, which is 1."""

    ended_at: datetime
    rank: int


@dataclass(frozen=True, slots=True)
class Uses:
    """What rests on an execution: a graph that is the latest of its document and ontology, or rows that name it."""

    has_graph: bool = False
    is_named: bool = False


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """How long things are kept; None: for good.

    The newest `least_executions` finished executions of an organisation stay whatever their age, and of the rest those
    beyond `most_executions` go whatever theirs.
    """

    executions: timedelta | None = None
    answers: timedelta | None = None
    history: timedelta | None = None
    deleted: timedelta | None = None
    least_executions: int = 1
    most_executions: int | None = None

    @classmethod
    def of(cls, settings: RetentionSettings) -> "RetentionPolicy":
        """The policy that the settings describe."""
        return cls(
            executions=_span(settings.executions_days),
            answers=_span(settings.answers_days),
            history=_span(settings.history_days),
            deleted=_span(settings.deleted_days),
            least_executions=settings.least_executions,
            most_executions=settings.most_executions,
        )

    def has_expired(self, execution: FinishedExecution, now: datetime) -> bool:
        """Whether the execution has had its time."""
        if execution.rank <= self.least_executions:
            return False
        if self.most_executions is not None and execution.rank > self.most_executions:
            return True
        return self.executions is not None and execution.ended_at < now - self.executions

    def fate(self, execution: FinishedExecution, uses: Uses, now: datetime) -> Fate:
        """What becomes of the execution."""
        if not self.has_expired(execution, now):
            return Fate.KEEP
        return Fate.SHORTEN if uses.has_graph or uses.is_named else Fate.REMOVE


def _span(days: float | None) -> timedelta | None:
    return timedelta(days=days) if days else None
