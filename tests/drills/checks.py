"""What a run left behind, held against an undisturbed one."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import httpx
import psycopg
from psycopg.rows import class_row

from knowledge.domain import ActivityStatus, ExecutionStatus, KnowledgeGraph, Stage, WorkflowExecutionState
from knowledge.errors import NotFound
from knowledge.pipeline import CHUNK_STAGES, MODEL_STAGES
from tables.graph_store import load_graph
from tests.drills.submission import Run

_WHOLE_DOCUMENT_STAGES = (Stage.CHUNK, Stage.ASSEMBLE, Stage.RESOLVE, Stage.PUBLISH)
_ENDED_WELL = {ActivityStatus.COMPLETED.value, ActivityStatus.CACHED.value}
# Two clocks note the times: the database's closes what a dead process left.
_TOLERANCE = timedelta(milliseconds=50)
_ACTIVITIES = """
    SELECT stage, item, attempt, status, cache_hit, started_at, ended_at FROM knowledge.workflow_activity
    WHERE organization_id = %s ORDER BY stage, item, attempt
"""


@dataclass(frozen=True, slots=True)
class _Attempt:
    stage: str
    item: str
    attempt: int
    status: str
    cache_hit: bool
    started_at: datetime
    ended_at: datetime | None


def is_graph_equal(run: Run, *, are_answers_sound: bool = True) -> bool:
    """Whether the stored graph is the reference, every id, span and vector.

    A model that says unsound things besides is believed less: then confidences may differ.
    """
    graph = run.reference.graph
    try:
        stored = load_graph(run.stack.database, run.job.organization_id, graph.extraction_id)
    except NotFound:
        return False
    return stored == graph if are_answers_sound else without_confidence(stored) == without_confidence(graph)


def without_confidence(graph: KnowledgeGraph) -> KnowledgeGraph:
    """The graph, all facts of it as likely as any other."""
    return replace(graph, relations=tuple(replace(relation, confidence=0.0) for relation in graph.relations))


def problems(run: Run, state: WorkflowExecutionState | None, *, are_answers_sound: bool = True) -> tuple[str, ...]:
    """Everything in tables and Prefect that an undisturbed run would not have left, or would have; a sentence each.

    Nothing of a run that did not complete: that alone says it all. When answers were unsound, and were asked for
    again, the numbers of calls may differ.
    """
    if state is None or state.status is not ExecutionStatus.COMPLETED:
        return ()
    with psycopg.connect(run.stack.database_url) as connection:
        found = [*_wrong_counts(run, connection), *_wrong_activities(run, connection)]
    return (*found, *_wrong_statistics(run, state, are_answers_sound), *_wrong_calls(run), *_wrong_flow_runs(run))


def _wrong_counts(run: Run, connection: psycopg.Connection[Any]) -> Iterator[str]:
    graph = run.reference.graph
    expected = {
        "document": 1,
        "ontology": 1,
        "extraction": 1,
        "workflow_execution": 1,
        "stage_result": len(run.reference.questions),
        "entity": len(graph.entities),
        "mention": len(graph.mentions),
        "relation": len(graph.relations),
        "relation_evidence": sum(len(relation.evidence) for relation in graph.relations),
        "embedding": len(graph.embeddings),
    }
    for table, wanted in expected.items():
        query = f"SELECT count(*) FROM knowledge.{table} WHERE organization_id = %s"
        row = connection.execute(query.encode(), (run.job.organization_id,)).fetchone()
        count = row[0] if row is not None else 0
        if count != wanted:
            yield f"table {table} has {count} rows of this organisation, not {wanted}"


def _wrong_activities(run: Run, connection: psycopg.Connection[Any]) -> Iterator[str]:
    attempts: defaultdict[tuple[str, str], list[_Attempt]] = defaultdict(list)
    with connection.cursor(row_factory=class_row(_Attempt)) as cursor:
        for attempt in cursor.execute(_ACTIVITIES, (run.job.organization_id,)):
            attempts[(attempt.stage, attempt.item)].append(attempt)
    items = [f"{n:05d}" for n in range(run.reference.chunks)]
    expected = {(stage.value, item) for stage in CHUNK_STAGES for item in items}
    expected |= {(stage.value, "document") for stage in _WHOLE_DOCUMENT_STAGES}
    yield from (f"no activity {stage} {item}" for stage, item in sorted(expected - attempts.keys()))
    yield from (f"an activity {stage} {item} that should not be" for stage, item in sorted(attempts.keys() - expected))
    for (stage, item), made in attempts.items():
        yield from (f"activity {stage} {item}: {problem}" for problem in _wrong_attempts(stage, made))


def _wrong_attempts(stage: str, attempts: list[_Attempt]) -> Iterator[str]:
    if [attempt.attempt for attempt in attempts] != list(range(1, len(attempts) + 1)):
        yield f"attempts are numbered {[attempt.attempt for attempt in attempts]}"
    if any(attempt.status == ActivityStatus.RUNNING for attempt in attempts):
        yield "an attempt is running after the end"
    if attempts[-1].status not in _ENDED_WELL:
        yield f"the last attempt is {attempts[-1].status}"
    asked = [a for a in attempts if a.status == ActivityStatus.COMPLETED and not a.cache_hit]
    if len(asked) > 1 and stage in {asking.value for asking in MODEL_STAGES}:
        yield f"{len(asked)} attempts were answered by a model"
    for earlier, later in pairwise(attempts):
        if earlier.ended_at is not None and later.started_at < earlier.ended_at - _TOLERANCE:
            overlap = (earlier.ended_at - later.started_at).total_seconds()
            yield f"attempt {later.attempt} began {overlap:.2f} s before attempt {earlier.attempt} ended"


def _wrong_statistics(run: Run, state: WorkflowExecutionState, are_answers_sound: bool) -> Iterator[str]:
    graph, found = run.reference.graph, state.statistics
    expected = {
        "chunks": run.reference.chunks,
        "entities": len(graph.entities),
        "mentions": len(graph.mentions),
        "relations": len(graph.relations),
        "failed_items": 0,
    }
    if are_answers_sound:
        expected |= {"model_calls": run.reference.model_calls, "embedding_calls": run.reference.embedding_calls}
    for name, wanted in expected.items():
        if getattr(found, name) != wanted:
            yield f"the execution counts {getattr(found, name)} {name}, not {wanted}"


def _wrong_calls(run: Run) -> Iterator[str]:
    asked = {call.digest for call in run.own_calls}
    if asked - run.reference.questions:
        yield f"{len(asked - run.reference.questions)} questions that an undisturbed run does not ask"
    if run.reference.questions - asked:
        yield f"{len(run.reference.questions - asked)} questions were never asked"


def _wrong_flow_runs(run: Run) -> Iterator[str]:
    wanted = {"flow_runs": {"tags": {"all_": [run.job.organization_id]}}}
    try:
        found: Any = run.stack.api("POST", "/flow_runs/filter", wanted)
    except httpx.HTTPError as error:
        yield f"Prefect's API does not answer: {error}"
        return
    if [item["id"] for item in found] != [run.flow_run_id]:
        yield f"Prefect has {len(found)} flow runs of this organisation"
    yield from (f"flow run {item['id']} is {item['state_type']}" for item in found if item["state_type"] != "COMPLETED")
    process = run.stack.flow_process(run.flow_run_id)
    if process is not None:
        yield f"flow process {process.pid} is still alive"
