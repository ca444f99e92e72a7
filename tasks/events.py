"""Events in Prefect's feed that automations can be built on: how extractions and batches end."""

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from uuid import NAMESPACE_URL, UUID, uuid5

from prefect.events import emit_event

from knowledge.domain import WorkflowExecutionState

EXTRACTION, BATCH = "extraction", "batch"


def announce_end(state: WorkflowExecutionState) -> None:
    """Emits `knowledge.extraction.completed`, `.failed` or `.cancelled` for an execution that has ended so.

    Its id follows from the execution and its end: should the same end be told twice, it is one event.
    """
    resource = f"knowledge.execution.{state.id}"
    _emit(
        EXTRACTION,
        state,
        {"prefect.resource.id": resource, "prefect.resource.name": state.document_name},
        {"document": state.document_name, "document_id": state.document_id, "ontology_id": state.ontology_id},
    )


def announce_batch_end(state: WorkflowExecutionState, batch_id: str, name: str, counts: Mapping[str, int]) -> None:
    """Emits `knowledge.batch.completed`, `.failed` or `.cancelled`, as `announce_end` does."""
    resource = {"prefect.resource.id": f"knowledge.batch.{batch_id}", "prefect.resource.name": name}
    _emit(BATCH, state, resource, {"batch_id": batch_id, "batch": name, "counts": dict(counts)})


def _emit(kind: str, state: WorkflowExecutionState, resource: dict[str, str], said: dict[str, object]) -> None:
    resource["knowledge.organization"] = state.organization_id
    statistics = {"statistics": asdict(state.statistics)} if kind == EXTRACTION else {}
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
            **statistics,
        },
        id=_event_id(state),
    )


def _event_id(state: WorkflowExecutionState) -> UUID:
    ended: datetime | None = state.ended_at
    return uuid5(NAMESPACE_URL, f"knowledge:{state.id}:{state.status}:{ended and ended.isoformat()}")
