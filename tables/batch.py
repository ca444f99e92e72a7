"""The tables of batches: what each was last asked for, and where its documents stand."""

from datetime import datetime

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from knowledge.batches import DocumentState, FailurePolicy
from knowledge.ids import (
    BatchDocumentId,
    BatchId,
    DocumentId,
    ExecutionId,
    ExtractionId,
    FlowRunId,
    OntologyId,
)
from tables.base import OrgTable, within_organization


class WorkflowBatch(OrgTable):
    """A batch; how it stands is what its latest execution says. `passes` counts the times that it was started."""

    __tablename__ = "workflow_batch"
    __table_args__ = (
        within_organization("execution_id", "workflow_execution"),
        Index(None, "organization_id", "created_at"),
        Index(None, "organization_id", "execution_id"),
    )

    id: Mapped[BatchId] = mapped_column(primary_key=True)
    name: Mapped[str]
    sources: Mapped[tuple[str, ...]]
    ontology: Mapped[str]
    options: Mapped[dict[str, object]] = mapped_column(server_default="{}")
    max_in_flight: Mapped[int]
    on_failure: Mapped[FailurePolicy]
    retract_missing: Mapped[bool]
    quiet_seconds: Mapped[float]
    passes: Mapped[int]
    flow_run_id: Mapped[FlowRunId | None]
    execution_id: Mapped[ExecutionId | None]


class WorkflowBatchDocument(OrgTable):
    """A document's place in a batch; its content is found again in each pass."""

    __tablename__ = "workflow_batch_document"
    __table_args__ = (
        within_organization("batch_id", "workflow_batch", cascade=True),
        within_organization("document_id", "document"),
        within_organization("ontology_id", "ontology"),
        within_organization("published_id", "document"),
        within_organization("published_with_id", "ontology"),
        Index("ix_workflow_batch_document_standing", "organization_id", "batch_id", "state", "last_pass"),
        Index(None, "organization_id", "flow_run_id"),
        Index("ix_workflow_batch_document_content", "organization_id", "document_id", "ontology_id"),
        Index("ix_workflow_batch_document_published", "organization_id", "published_id", "published_with_id"),
        Index(None, "organization_id", "ontology_id"),
        Index(None, "organization_id", "published_with_id"),
    )

    id: Mapped[BatchDocumentId] = mapped_column(primary_key=True)
    batch_id: Mapped[BatchId]
    location: Mapped[str]
    name: Mapped[str]
    ontology: Mapped[str]
    state: Mapped[DocumentState]
    last_pass: Mapped[int]
    attempt: Mapped[int]
    reused: Mapped[bool]
    seen: Mapped[str] = mapped_column(server_default="")
    digest: Mapped[str] = mapped_column(server_default="")
    error: Mapped[str | None]
    document_id: Mapped[DocumentId | None]
    ontology_id: Mapped[OntologyId | None]
    extraction_id: Mapped[ExtractionId | None]
    flow_run_id: Mapped[FlowRunId | None]
    published_id: Mapped[DocumentId | None]
    published_with_id: Mapped[OntologyId | None]
    retracted_at: Mapped[datetime | None]
