"""Progress of executions: what an event of it says, and how much of the work is done."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from knowledge.domain import ExecutionStatus, ExtractionProgress, Stage
from knowledge.ids import ExecutionId, ProgressEventId

# Each stage's share of the work: about what it takes of the time where a remote model is asked. The last hundredth
# comes with the execution's end.
_SHARES = {
    Stage.CHUNK: 0.01,
    Stage.MENTIONS: 0.60,
    Stage.ENTITIES: 0.04,
    Stage.RELATIONS: 0.04,
    Stage.EMBEDDINGS: 0.25,
    Stage.ASSEMBLE: 0.01,
    Stage.RESOLVE: 0.01,
    Stage.PUBLISH: 0.03,
}


@dataclass(frozen=True, slots=True)
class ProgressEvent:
    """The `number`-th thing that happened to an execution, counted from 1 without gaps.

    Either `stage` has come to `current` of `total` items, or `status` has changed: then both are None, `stage` is the
    furthest so far, and `message` says why, if there is a reason. `fraction` (of the whole execution, 0 to 1) and the
    calls (all so far) never go back from one event to the next. `happened_at` is aware.
    """

    execution_id: ExecutionId
    number: int
    status: ExecutionStatus
    stage: Stage | None
    current: int | None
    total: int | None
    fraction: float
    model_calls: int
    cached_calls: int
    message: str
    happened_at: datetime

    def as_json(self) -> dict[str, object]:
        """The event as JSON has it; times in ISO 8601."""
        return {
            "execution_id": self.execution_id,
            "number": self.number,
            "status": self.status.value,
            "stage": self.stage and self.stage.value,
            "current": self.current,
            "total": self.total,
            "fraction": self.fraction,
            "model_calls": self.model_calls,
            "cached_calls": self.cached_calls,
            "message": self.message,
            "time": self.happened_at.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class ProgressStep:
    """How far a stage of an execution had come at `at`; `fraction` of the whole, with the calls so far.

    It becomes the event `id`. `is_uncertain`: nobody knows whether it has become one already.
    """

    id: ProgressEventId
    execution_id: ExecutionId
    progress: ExtractionProgress
    fraction: float
    model_calls: int
    cached_calls: int
    at: datetime
    is_uncertain: bool = False


def done_fraction(stages: Mapping[Stage, ExtractionProgress]) -> float:
    """How much of the whole work is done, from 0 to 0.99, when the stages have come so far."""
    return round(sum(share * stages[stage].fraction for stage, share in _SHARES.items() if stage in stages), 4)


def never_back(before: ExtractionProgress | None, now: ExtractionProgress) -> ExtractionProgress:
    """`now`, unless the stage had come further before: who replays what is stored has not undone it."""
    if before is not None and before.total == now.total and before.completed > now.completed:
        return before
    return now
