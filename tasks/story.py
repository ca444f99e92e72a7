"""What the flow run's log tells: about ten lines, whatever the size of the document."""

import logging
import time
from collections.abc import Callable

from knowledge.domain import Document, ExtractionProgress, Stage, WorkflowExecutionState
from knowledge.ontology import Ontology
from knowledge.pipeline import CHUNK_STAGES

# Prefect logs a line for each task run, sends it to the server and keeps it: thousands for a long document.
_TASK_LOGGER = "prefect.task_runs"


class Story:
    """Tells a run stage by stage. Failures are told by Prefect's own warnings and errors."""

    def __init__(self, tell: Callable[[str], None], monotonic: Callable[[], float] = time.monotonic) -> None:
        self._tell = tell
        self._monotonic = monotonic
        self._began: dict[Stage, float] = {}
        self._told: set[Stage] = set()

    def begin(self, state: WorkflowExecutionState, document: Document, ontology: Ontology) -> None:
        """What is read, with what, and whether somebody has begun it before."""
        if state.resumes:
            times = "once" if state.resumes == 1 else f"{state.resumes} times"
            self._tell(f"goes on: its process has died {times}; what was answered is kept")
        classes, predicates = len(ontology.classes), len(ontology.properties)
        self._tell(
            f"reads {document.name}, {len(document.text):,} characters, with {ontology.label} "
            f"({classes} classes, {predicates} predicates), as {state.id}"
        )

    def observe(self, progress: ExtractionProgress) -> None:
        """Tells of a stage once, when it is done."""
        stage = progress.stage
        began = self._began.setdefault(stage, self._monotonic())
        if progress.completed < progress.total or stage in self._told:
            return
        self._told.add(stage)
        if stage in CHUNK_STAGES:
            chunks = f"{progress.total} {'chunk' if progress.total == 1 else 'chunks'}"
            self._tell(f"{stage} of {chunks}: done, {self._monotonic() - began:.1f} s after the first")
        elif stage is Stage.PUBLISH:
            self._tell("the graph is published")


def quieten_tasks() -> None:
    """Has Prefect log only what went wrong with tasks."""
    logging.getLogger(_TASK_LOGGER).setLevel(logging.WARNING)
