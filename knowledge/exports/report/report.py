"""What a report is made of."""

from dataclasses import dataclass
from datetime import datetime

from knowledge.domain import ActivityStatus, Document, Stage, WorkflowExecutionState
from knowledge.exports.graph_export import GraphExport
from knowledge.linking import EntityLink
from knowledge.signals import Signal


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt of a stage on an item, from the ledger; attempts of an item count from 1, times are aware."""

    stage: Stage
    item: str
    number: int
    status: ActivityStatus
    started_at: datetime
    ended_at: datetime | None = None
    error: str | None = None
    given_up: bool = False


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A part of a model's answer that is in no graph, and why. `chunk_index` is None where the whole document decides.

    `is_unmapped`: it is a fact whose predicate the ontology does not have.
    """

    reason: str
    item: str
    chunk_index: int | None = None
    is_unmapped: bool = False


@dataclass(frozen=True, slots=True)
class ReportedRun:
    """An execution, and what is known of it.

    `document` is None where none was stored, `export` unless the execution completed. `left_out` is None where the
    answers that it was made from are not stored any more.
    """

    state: WorkflowExecutionState
    document: Document | None = None
    export: GraphExport | None = None
    attempts: tuple[Attempt, ...] = ()
    signals: tuple[Signal, ...] = ()
    left_out: tuple[LeftOut, ...] | None = ()


@dataclass(frozen=True, slots=True)
class Report:
    """Runs of one organisation, in the order in which they are shown, and the links between their entities.

    `as_of` is when this was known.
    """

    title: str
    runs: tuple[ReportedRun, ...]
    links: tuple[EntityLink, ...]
    as_of: datetime
