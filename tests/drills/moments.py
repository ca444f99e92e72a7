"""Moments at which something can be killed, each seen from outside."""

import random
import time
from collections.abc import Callable
from enum import StrEnum

import psycopg

from knowledge.domain import ExecutionStatus, Stage
from knowledge.errors import StoreUnavailable
from tests.drills.submission import Run

# Looks at other processes' doings, whose moments are short. The delays after a moment are what is drilled: they put the
# kill at a seeded time within it.
_POLL_SECONDS = 0.004
_REACHED_SECONDS = 90.0
# Up to this long after the chosen call: into its answer, its storing, and what follows the last one.
_RANDOM_DELAY_SECONDS = 0.6
_PUBLISHING = """
    SELECT 1 FROM pg_locks held JOIN pg_class locked ON locked.oid = held.relation
    WHERE locked.relname = 'entity' AND held.mode = 'RowExclusiveLock' AND held.granted LIMIT 1
"""
_ON_RECORD = "SELECT count(*) FROM knowledge.workflow_activity WHERE organization_id = %s AND stage = %s"


class Moment(StrEnum):
    """When to kill: in a stage, between two of them, or anywhere."""

    START = "start"
    CHUNK = "chunk"
    MENTIONS = "mentions"
    ENTITIES = "entities"
    RELATIONS = "relations"
    EMBEDDINGS = "embeddings"
    ASSEMBLE = "assemble"
    PUBLISH = "publish"
    SUMMARY = "summary"
    RANDOM = "random"


def wait_for(moment: Moment, run: Run, rng: random.Random) -> str | None:
    """What was seen when the moment came, or None if the run ended or the time was over before it did.

    `start` is the flow process before it has opened its execution; `chunk` the execution opened and nothing asked;
    `mentions` and `embeddings`, which ask models, a seeded number of their questions put; `entities` and `relations`,
    which are made from the answers, a seeded number of their activities on record; `assemble` all questions answered;
    `publish` the graph's transaction under way; `summary` the execution closed and its flow run not yet.
    """
    deadline = time.monotonic() + _REACHED_SECONDS
    seen = _WATCHES[moment](run, rng)
    while time.monotonic() < deadline:
        found = seen()
        if found is not None:
            return found
        if moment is not Moment.SUMMARY and _is_over(run):
            return None
        time.sleep(_POLL_SECONDS)
    return None


Watch = Callable[[], str | None]


def _is_over(run: Run) -> bool:
    try:
        state = run.state
    except StoreUnavailable:
        return False
    return state is not None and state.status.is_final


def _start(run: Run, rng: random.Random) -> Watch:
    delay = rng.uniform(0.0, 1.5)

    def seen() -> str | None:
        if run.stack.flow_process(run.flow_run_id) is None:
            return None
        time.sleep(delay)
        return f"{delay:.2f} s after its process was seen"

    return seen


def _chunk(run: Run, rng: random.Random) -> Watch:
    def seen() -> str | None:
        return "execution opened" if run.state is not None else None

    return seen


def _stage(kind: str) -> Callable[[Run, random.Random], Watch]:
    def watch(run: Run, rng: random.Random) -> Watch:
        wanted, delay = rng.randint(1, run.reference.chunks), rng.uniform(0.0, _RANDOM_DELAY_SECONDS)

        def seen() -> str | None:
            calls = run.own_calls
            if sum(call.kind == kind for call in calls) < wanted:
                return None
            time.sleep(delay)
            return f"{delay:.2f} s after question {wanted} of {run.reference.chunks} for {kind}"

        return seen

    return watch


def _made(stage: Stage) -> Callable[[Run, random.Random], Watch]:
    def watch(run: Run, rng: random.Random) -> Watch:
        wanted, delay = rng.randint(1, run.reference.chunks), rng.uniform(0.0, _RANDOM_DELAY_SECONDS)
        connection = psycopg.connect(run.stack.database_url, autocommit=True)

        def seen() -> str | None:
            row = connection.execute(_ON_RECORD, (run.job.organization_id, stage.value)).fetchone()
            if row is None or row[0] < wanted:
                return None
            connection.close()
            time.sleep(delay)
            return f"{delay:.2f} s after {stage} of {wanted} of {run.reference.chunks} chunks"

        return seen

    return watch


def _assemble(run: Run, rng: random.Random) -> Watch:
    def seen() -> str | None:
        calls = run.own_calls
        return "all answered" if len({call.digest for call in calls if call.delivered}) >= _questions(run) else None

    return seen


def _publish(run: Run, rng: random.Random) -> Watch:
    connection = psycopg.connect(run.stack.database_url, autocommit=True)

    def seen() -> str | None:
        return "graph being written" if connection.execute(_PUBLISHING).fetchone() is not None else None

    return seen


def _summary(run: Run, rng: random.Random) -> Watch:
    def seen() -> str | None:
        state = run.state
        return "execution closed" if state is not None and state.status is ExecutionStatus.COMPLETED else None

    return seen


def _random(run: Run, rng: random.Random) -> Watch:
    wanted, delay = rng.randint(0, _questions(run)), rng.uniform(0.0, _RANDOM_DELAY_SECONDS)

    def seen() -> str | None:
        if run.asked < wanted or run.state is None:
            return None
        time.sleep(delay)
        return f"{delay:.2f} s after question {wanted} of {_questions(run)}"

    return seen


def _questions(run: Run) -> int:
    return len(run.reference.questions)


_WATCHES: dict[Moment, Callable[[Run, random.Random], Watch]] = {
    Moment.START: _start,
    Moment.CHUNK: _chunk,
    Moment.ASSEMBLE: _assemble,
    Moment.PUBLISH: _publish,
    Moment.SUMMARY: _summary,
    Moment.RANDOM: _random,
    Moment.MENTIONS: _stage("passage"),
    Moment.ENTITIES: _made(Stage.ENTITIES),
    Moment.RELATIONS: _made(Stage.RELATIONS),
    Moment.EMBEDDINGS: _stage("embeddings"),
}
