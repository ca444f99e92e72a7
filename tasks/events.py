"""Events in Prefect's feed that automations can be built on: how extractions and batches end."""

from dataclasses import asdict
from datetime import datetime
from uuid import NAMESPACE_URL, UUID, uuid5

from prefect.events import emit_event

from knowledge.batches import Batch, BatchCounts
from knowledge.domain import ExecutionStatus, WorkflowExecutionState
from tables.batches import BatchStore
from tables.session import Database

EXTRACTION, BATCH = "extraction", "batch"
_ANNOUNCED = {ExecutionStatus.COMPLETED, ExecutionStatus.FAILED}


def announce_end(state: WorkflowExecutionState) -> None:
    """Emits `knowledge.extraction.completed` or `.failed` for an execution that has ended so; else nothing.

    Its id follows from the execution and its end: should the same end be told twice, it is one event.
    """
    _emit(
        EXTRACTION,
        state,
        {"prefect.resource.id": f"knowledge.execution.{state.id}", "prefect.resource.name": state.document_name},
        {
            "document": state.document_name,
            "document_id": state.document_id,
            "ontology_id": state.ontology_id,
            "extraction_id": state.extraction_id,
            "statistics": asdict(state.statistics),
        },
    )


def announce_batch_end(state: WorkflowExecutionState, batch: Batch, counts: BatchCounts) -> None:
    """Emits `knowledge.batch.completed` or `.failed`, as `announce_end` does."""
    _emit(
        BATCH,
        state,
        {"prefect.resource.id": f"knowledge.batch.{batch.id}", "prefect.resource.name": batch.name},
        {"batch_id": batch.id, "batch": batch.name, "statistics": counts.as_json()},
    )


def announce_recorded_end(database: Database, state: WorkflowExecutionState) -> None:
    """Emits for the end of any execution what its own process would have emitted."""
    store = BatchStore(database, state.organization_id)
    batch = store.find_by_execution(state.id)
    if batch is None:
        announce_end(state)
    else:
        announce_batch_end(state, batch, store.counts(batch))


def _emit(kind: str, state: WorkflowExecutionState, resource: dict[str, str], said: dict[str, object]) -> None:
    if state.status not in _ANNOUNCED:
        return
    resource["knowledge.organization"] = state.organization_id
    emit_event(
        event=f"knowledge.{kind}.{state.status}",
        resource=resource,
        payload={
            "organization_id": state.organization_id,
            "execution_id": state.id,
            "flow_run_id": state.flow_run_id,
            "status": state.status.value,
            "error": state.error,
            "resumes": state.resumes,
            **said,
        },
        id=_event_id(state),
    )


def _event_id(state: WorkflowExecutionState) -> UUID:
    ended: datetime | None = state.ended_at
    return uuid5(NAMESPACE_URL, f"knowledge:{state.id}:{state.status}:{ended and ended.isoformat()}")
