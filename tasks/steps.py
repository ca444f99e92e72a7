"""The steps of an execution that are to be written: of each stage the latest, none less than what was said before."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from knowledge.domain import ExecutionStatistics, ExtractionProgress, Stage, Usage
from knowledge.ids import ExecutionId, ProgressEventId
from knowledge.progress import ProgressStep, done_fraction, never_back


class Steps:
    """Gathers how far stages have come, and how many calls that took, until somebody writes it down."""

    def __init__(self, execution_id: ExecutionId, now: Callable[[], datetime]) -> None:
        self._execution_id = execution_id
        self._now = now
        self._stages: dict[Stage, ExtractionProgress] = {}
        self._waiting: dict[Stage, ProgressStep] = {}
        self._model_calls = 0
        self._cached_calls = 0

    def go_on_from(self, progress: Sequence[ExtractionProgress], spent: ExecutionStatistics) -> None:
        """Begins where earlier processes of the execution have ended."""
        self._stages = {step.stage: step for step in progress}
        self._model_calls, self._cached_calls = spent.model_calls, spent.cached_calls

    def count(self, usage: Usage, *, is_cached: bool, is_first: bool) -> None:
        """An attempt has ended; one that read what the execution itself had asked for before counts no more."""
        if not is_cached:
            self._model_calls += usage.model_calls
        elif is_first:
            self._cached_calls += usage.model_calls

    def take(self, progress: ExtractionProgress) -> None:
        """A stage has come so far; nothing is made of it unless it is further than before."""
        before = self._stages.get(progress.stage)
        progress = never_back(before, progress)
        if progress == before:
            return
        self._stages[progress.stage] = progress
        self._waiting.pop(progress.stage, None)
        self._waiting[progress.stage] = ProgressStep(
            ProgressEventId.new(),
            self._execution_id,
            progress,
            done_fraction(self._stages),
            self._model_calls,
            self._cached_calls,
            self._now(),
        )

    def hand_out(self) -> tuple[ProgressStep, ...]:
        """The steps to be written, in the order in which they were made; they are waiting no more."""
        steps, self._waiting = tuple(self._waiting.values()), {}
        return steps

    def take_back(self, steps: Sequence[ProgressStep]) -> None:
        """They may not be written: a commit may have broken off. What has come since replaces those of its stage."""
        uncertain = (replace(step, is_uncertain=True) for step in steps)
        earlier = {step.progress.stage: step for step in uncertain if step.progress.stage not in self._waiting}
        self._waiting = {**earlier, **self._waiting}
