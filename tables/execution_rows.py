"""Executions as rows and back: values in, values out."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import cast

from knowledge.domain import ExecutionStatistics, ExtractionProgress, Stage, WorkflowExecutionState
from tables.storable import storable_text
from tables.workflow import WorkflowExecution


def state_of(row: WorkflowExecution) -> WorkflowExecutionState:
    """The execution's state as its row has it."""
    numbers = {field.name: getattr(row, field.name) for field in fields(ExecutionStatistics)}
    return WorkflowExecutionState(
        id=row.id,
        organization_id=row.organization_id,
        flow_run_id=row.flow_run_id,
        document_id=row.document_id,
        ontology_id=row.ontology_id,
        extraction_id=row.extraction_id,
        document_name=row.document_name,
        status=row.status,
        stage=row.stage,
        error=row.error,
        resumes=row.resumes,
        statistics=ExecutionStatistics(**numbers),
        pid=row.pid,
        host=row.host,
        holder=row.holder,
        started_at=row.started_at,
        ended_at=row.ended_at,
        fraction=row.fraction,
    )


def progress_json(progress: Sequence[ExtractionProgress]) -> dict[str, object]:
    """Progress by stage, as the `progress` column has it."""
    return {
        str(step.stage): {
            "completed": step.completed,
            "total": step.total,
            "message": storable_text(step.message),
        }
        for step in progress
    }


def progress_of(column: Mapping[str, object]) -> tuple[ExtractionProgress, ...]:
    """What `progress_json` wrote, in the order of the stages."""
    steps = cast(Mapping[str, Mapping[str, object]], column)
    return tuple(
        ExtractionProgress(
            stage, cast(int, steps[stage]["completed"]), cast(int, steps[stage]["total"]), str(steps[stage]["message"])
        )
        for stage in Stage
        if stage in steps
    )
