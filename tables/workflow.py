"""The ledger's tables: executions, their activities and progress, and the signals sent to them."""

from datetime import datetime

from sqlalchemy import BigInteger, Computed, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from knowledge.domain import ActivityStatus, ExecutionStatus, Stage
from knowledge.ids import (
    ActivityId,
    DocumentId,
    ExecutionId,
    ExtractionId,
    FlowRunId,
    OntologyId,
    ProgressEventId,
    SignalId,
)
from knowledge.signals import SignalName
from tables.base import OrgTable, within_organization


class WorkflowExecution(OrgTable):
    """One run of an extraction through every restart; `flow_run_id` is null for a run refused at the door."""

    __tablename__ = "workflow_execution"
    __table_args__ = (
        UniqueConstraint("organization_id", "flow_run_id"),
        within_organization("document_id", "document"),
        within_organization("ontology_id", "ontology"),
        within_organization("extraction_id", "extraction"),
        Index(None, "organization_id", "status"),
        Index(None, "organization_id", "created_at"),
        Index("ix_workflow_execution_latest", "organization_id", "document_id", "ontology_id", "ended_at"),
        Index(None, "organization_id", "extraction_id"),
        Index(None, "organization_id", "ontology_id"),
    )

    id: Mapped[ExecutionId] = mapped_column(primary_key=True)
    flow_run_id: Mapped[FlowRunId | None]
    document_id: Mapped[DocumentId | None]
    ontology_id: Mapped[OntologyId | None]
    extraction_id: Mapped[ExtractionId | None]
    document_name: Mapped[str]
    parameters: Mapped[dict[str, object]] = mapped_column(server_default="{}")
    status: Mapped[ExecutionStatus]
    stage: Mapped[Stage | None]
    progress: Mapped[dict[str, object]] = mapped_column(server_default="{}")
    fraction: Mapped[float] = mapped_column(server_default="0")
    last_event: Mapped[int] = mapped_column(server_default="0")
    error: Mapped[str | None]
    resumes: Mapped[int] = mapped_column(server_default="0")
    pid: Mapped[int | None]
    host: Mapped[str | None]
    holder: Mapped[str | None]
    started_at: Mapped[datetime | None]
    ended_at: Mapped[datetime | None]
    chunks: Mapped[int] = mapped_column(server_default="0")
    mentions: Mapped[int] = mapped_column(server_default="0")
    entities: Mapped[int] = mapped_column(server_default="0")
    relations: Mapped[int] = mapped_column(server_default="0")
    model_calls: Mapped[int] = mapped_column(server_default="0")
    cached_calls: Mapped[int] = mapped_column(server_default="0")
    embedding_calls: Mapped[int] = mapped_column(server_default="0")
    input_tokens: Mapped[int] = mapped_column(BigInteger, server_default="0")
    output_tokens: Mapped[int] = mapped_column(BigInteger, server_default="0")
    failed_items: Mapped[int] = mapped_column(server_default="0")
    rejected: Mapped[int] = mapped_column(server_default="0")
    seconds: Mapped[float] = mapped_column(server_default="0")


class WorkflowActivity(OrgTable):
    """One attempt of one stage on one item of an execution. A resumed run adds attempts, it replaces none."""

    __tablename__ = "workflow_activity"
    __table_args__ = (
        UniqueConstraint(
            "organization_id", "execution_id", "stage", "item", "attempt", name="uq_workflow_activity_attempt"
        ),
        within_organization("execution_id", "workflow_execution", cascade=True),
    )

    id: Mapped[ActivityId] = mapped_column(primary_key=True)
    execution_id: Mapped[ExecutionId]
    stage: Mapped[Stage]
    item: Mapped[str]
    attempt: Mapped[int]
    status: Mapped[ActivityStatus]
    cache_key: Mapped[str | None]
    cache_hit: Mapped[bool] = mapped_column(server_default="false")
    error: Mapped[str | None]
    given_up: Mapped[bool] = mapped_column(server_default="false")
    started_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    duration_seconds: Mapped[float | None] = mapped_column(
        Computed("(EXTRACT(epoch FROM (ended_at - started_at)))::double precision", persisted=True)
    )
    model_calls: Mapped[int] = mapped_column(server_default="0")
    embedding_calls: Mapped[int] = mapped_column(server_default="0")
    input_tokens: Mapped[int] = mapped_column(BigInteger, server_default="0")
    output_tokens: Mapped[int] = mapped_column(BigInteger, server_default="0")


class ProgressEventRow(OrgTable):
    """The `number`-th event of an execution: a stage has come further, or, without `current`, the status has changed.

    Numbers count from 1 without gaps, in the order in which the events become visible. They go with the execution.
    """

    __tablename__ = "progress_event"
    __table_args__ = (
        UniqueConstraint("organization_id", "execution_id", "number", name="uq_progress_event_number"),
        within_organization("execution_id", "workflow_execution", cascade=True),
    )

    id: Mapped[ProgressEventId] = mapped_column(primary_key=True)
    execution_id: Mapped[ExecutionId]
    number: Mapped[int]
    status: Mapped[ExecutionStatus]
    stage: Mapped[Stage | None]
    current: Mapped[int | None]
    total: Mapped[int | None]
    fraction: Mapped[float]
    model_calls: Mapped[int]
    cached_calls: Mapped[int]
    message: Mapped[str] = mapped_column(server_default="")
    happened_at: Mapped[datetime]


class WorkflowSignal(OrgTable):
    """A signal to an execution: numbered in the order of sending, acted upon at most once."""

    __tablename__ = "workflow_signal"
    __table_args__ = (
        UniqueConstraint("organization_id", "execution_id", "number"),
        within_organization("execution_id", "workflow_execution", cascade=True),
    )

    id: Mapped[SignalId] = mapped_column(primary_key=True)
    execution_id: Mapped[ExecutionId]
    number: Mapped[int]
    name: Mapped[SignalName]
    payload: Mapped[dict[str, object]] = mapped_column(server_default="{}")
    sent_at: Mapped[datetime]
    sent_by: Mapped[str]
    acted_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
