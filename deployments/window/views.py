"""What the window shows and takes, as its OpenAPI document describes it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator

from deployments.signalling import Sent
from knowledge.domain import ExecutionStatus, ExtractionProgress, Stage, WorkflowExecutionState
from knowledge.signals import Signal, SignalName

_DEEPEST = 32


class StatisticsView(BaseModel):
    """An execution in numbers; calls as they come, the rest at the end."""

    chunks: int
    mentions: int
    entities: int
    relations: int
    model_calls: int = Field(description="questions put to a chat model or extractor")
    cached_calls: int = Field(description="questions answered from stored results instead")
    embedding_calls: int
    input_tokens: int
    output_tokens: int
    failed_items: int
    rejected: int
    seconds: float


class ExecutionView(BaseModel):
    """An execution as it stands."""

    execution_id: str
    flow_run_id: str | None
    document: str
    status: ExecutionStatus
    stage: Stage | None = Field(description="the furthest stage that has said so")
    fraction: float = Field(ge=0, le=1, description="of the whole work; it never goes back")
    resumes: int
    error: str | None
    started_at: datetime | None
    ended_at: datetime | None
    statistics: StatisticsView

    @classmethod
    def of(cls, state: WorkflowExecutionState) -> "ExecutionView":
        """The view of an execution."""
        return cls(**_of_state(state))


class ExecutionPage(BaseModel):
    """Executions, the newest first; `next` is the `before` of the next page, null on the last."""

    executions: list[ExecutionView]
    next: str | None


class StageView(BaseModel):
    """How far a stage is."""

    stage: Stage
    current: int
    total: int
    message: str


class ProgressView(BaseModel):
    """An event of an execution's progress, as the `data` of a server-sent event has it."""

    execution_id: str
    number: int
    status: ExecutionStatus
    stage: Stage | None
    current: int | None = Field(description="with `total`: how far the stage is; null where the status has changed")
    total: int | None
    fraction: float = Field(ge=0, le=1, description="of the whole work; it never goes back")
    model_calls: int
    cached_calls: int
    message: str
    time: datetime


class SignalView(BaseModel):
    """A signal that an execution was sent; `outcome` says what came of it, once it was acted on."""

    number: int
    name: SignalName
    payload: dict[str, Any]
    sent_at: datetime
    sent_by: str
    acted_at: datetime | None
    outcome: str | None

    @classmethod
    def of(cls, signal: Signal) -> "SignalView":
        """The view of a signal."""
        return cls(
            number=signal.number,
            name=signal.name,
            payload=dict(signal.payload),
            sent_at=signal.sent_at,
            sent_by=signal.sent_by,
            acted_at=signal.acted_at,
            outcome=signal.outcome,
        )


class ExecutionDetail(ExecutionView):
    """An execution with its stages and signals."""

    stages: list[StageView]
    signals: list[SignalView]

    @classmethod
    def made_of(
        cls, state: WorkflowExecutionState, stages: Sequence[ExtractionProgress], signals: Sequence[Signal]
    ) -> "ExecutionDetail":
        """The view of all that is known of an execution."""
        shown = [
            StageView(stage=step.stage, current=step.completed, total=step.total, message=step.message)
            for step in stages
        ]
        return cls(**_of_state(state), stages=shown, signals=[SignalView.of(signal) for signal in signals])


class NewSignal(BaseModel):
    """A signal to be sent: what to do, and an object that goes with it, such as {"reason": "…"}."""

    model_config = ConfigDict(extra="forbid")

    name: SignalName
    payload: dict[str, Any] = Field(default={}, description=f"nested at most {_DEEPEST} deep")

    @field_validator("payload")
    @classmethod
    def _is_shallow(cls, value: dict[str, Any]) -> dict[str, Any]:
        level: list[object] = [value]
        for _ in range(_DEEPEST):
            level = [inner for each in level for inner in _inside(each)]
            if not level:
                return value
        raise ValueError(f"must not be nested more than {_DEEPEST} deep")


class SentSignal(BaseModel):
    """A signal that is recorded, and what follows."""

    signal: SignalView
    effect: str = Field(description="what happens next, for people")

    @classmethod
    def of(cls, sent: Sent) -> "SentSignal":
        """The view of a signal just sent."""
        return cls(signal=SignalView.of(sent.signal), effect=sent.effect)


def _inside(value: object) -> list[object]:
    if isinstance(value, dict):
        return list(cast(dict[str, object], value).values())
    return cast(list[object], value) if isinstance(value, list) else []


def _of_state(state: WorkflowExecutionState) -> dict[str, Any]:
    numbers = {name: getattr(state.statistics, name) for name in StatisticsView.model_fields}
    return {
        "execution_id": state.id,
        "flow_run_id": state.flow_run_id,
        "document": state.document_name,
        "status": state.status,
        "stage": state.stage,
        "fraction": state.fraction,
        "resumes": state.resumes,
        "error": state.error,
        "started_at": state.started_at,
        "ended_at": state.ended_at,
        "statistics": StatisticsView(**numbers),
    }
