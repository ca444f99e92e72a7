"""An organisation's past, pruned: finished executions with their details, stored answers, rows marked as deleted.

Everything is done in small transactions that each leave the tables whole, so it may be stopped anywhere, begun again,
and done by two at once. Rows that somebody else has locked are left for the next time.
"""

from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import CursorResult, TextClause, text
from sqlalchemy.orm import Session

from knowledge.domain import ExecutionStatus
from knowledge.ids import ExecutionId, FlowRunId, OrganizationId
from knowledge.retention import Fate, FinishedExecution, RetentionPolicy, Uses
from tables.base import SCHEMA
from tables.catalogue import Catalogue, Reference, read_catalogue
from tables.fence import held_fences
from tables.graph_store import latest_extractions
from tables.session import Database

_EXECUTIONS_AT_ONCE = 50  # of a large document one has thousands of attempts
_ROWS_AT_ONCE = 1000
_FINAL = [status.value for status in ExecutionStatus if status.is_final]
_FINISHED = text(f"""
    SELECT id, flow_run_id, ended_at, row_number() OVER (ORDER BY ended_at DESC, id DESC) AS rank
    FROM (SELECT id, flow_run_id, coalesce(ended_at, updated_at) AS ended_at FROM {SCHEMA}.workflow_execution
          WHERE organization_id = :organization_id AND status = ANY(:final) AND deleted_at IS NULL) AS finished
    ORDER BY rank DESC
""")
_LOCK = text(f"""
    SELECT id FROM {SCHEMA}.workflow_execution
    WHERE organization_id = :organization_id AND id = ANY(:ids) AND status = ANY(:final)
    ORDER BY id FOR UPDATE SKIP LOCKED
""")
_REMOVE = text(f"DELETE FROM {SCHEMA}.workflow_execution WHERE organization_id = :organization_id AND id = ANY(:ids)")
_OLD_ANSWERS = text(f"""
    SELECT id, EXISTS (SELECT FROM {SCHEMA}.workflow_activity named
        WHERE named.organization_id = answer.organization_id AND named.cache_key = answer.key)
    FROM (SELECT organization_id, id, key FROM {SCHEMA}.stage_result
          WHERE organization_id = :organization_id AND updated_at < :before AND id > :after
          ORDER BY id LIMIT :limit) AS answer
    ORDER BY id
""")
_REMOVE_ANSWERS = text(f"""
    DELETE FROM {SCHEMA}.stage_result
    WHERE organization_id = :organization_id AND id = ANY(:ids) AND updated_at < :before
""")
_OF_GRAPHS = {"extraction_id", "source"}
# What belongs to an execution whose row stays: decisions, the attempts that name an answer, and how it ended, which
# whoever follows it waits to be told.
_STAYING_DETAILS = {
    "workflow_signal": "true",
    "workflow_activity": "d.cache_key IS NOT NULL",
    "progress_event": f"NOT EXISTS (SELECT FROM {SCHEMA}.progress_event later WHERE later.organization_id = "
    "d.organization_id AND later.execution_id = d.execution_id AND later.number > d.number)",
}


@dataclass(frozen=True, slots=True)
class Pruned:
    """What went (in a dry run: would go), as numbers of rows; `details` are attempts, signals and progress."""

    executions: int = 0
    shortened: int = 0
    details: int = 0
    answers: int = 0
    deleted: int = 0

    def __add__(self, other: "Pruned") -> "Pruned":
        return Pruned(
            self.executions + other.executions,
            self.shortened + other.shortened,
            self.details + other.details,
            self.answers + other.answers,
            self.deleted + other.deleted,
        )


@dataclass(frozen=True, slots=True)
class _Candidate:
    id: ExecutionId
    flow_run_id: FlowRunId | None
    finished: FinishedExecution


class Pruner:
    """Prunes one organisation's rows. A dry run does all of it and takes it back, transaction by transaction.

    Methods raise StoreUnavailable when the database does not answer; what was done by then stays done.
    """

    def __init__(
        self, database: Database, organization_id: OrganizationId, policy: RetentionPolicy, *, dry_run: bool = False
    ) -> None:
        self._database = database
        self._organization_id = organization_id
        self._policy = policy
        self._dry_run = dry_run

    def prune(self, now: datetime) -> Pruned:
        """What went, by the rules of the policy as of `now`."""
        return self.prune_executions(now) + self.prune_answers(now) + self.purge_deleted(now)

    def prune_executions(self, now: datetime) -> Pruned:
        """Removes finished executions that have had their time; those that a graph rests on lose their details only."""
        expired = iter(self._expired(now))
        with self._transaction() as session:
            catalogue = read_catalogue(session)
        latest = latest_extractions(self._database, self._organization_id)
        giving = {each.execution_id for each in latest}
        living = sorted({str(each.extraction_id) for each in latest})
        done = Pruned()
        while some := list(islice(expired, _EXECUTIONS_AT_ONCE)):
            done += self._prune_some(some, catalogue, giving, living, now)
        return done

    def _expired(self, now: datetime) -> list[_Candidate]:
        with self._transaction() as session:
            rows = session.execute(_FINISHED, self._named(final=_FINAL)).all()
        found = [_Candidate(ExecutionId(id_), run, FinishedExecution(end, rank)) for id_, run, end, rank in rows]
        return [each for each in found if self._policy.has_expired(each.finished, now)]

    def _prune_some(
        self,
        some: Sequence[_Candidate],
        catalogue: Catalogue,
        giving: set[ExecutionId],
        living: Sequence[str],
        now: datetime,
    ) -> Pruned:
        held = held_fences(self._database, [each.flow_run_id for each in some if each.flow_run_id])
        ids = [each.id for each in some if each.flow_run_id not in held]
        with self._transaction() as session:
            locked = set(session.scalars(_LOCK, self._named(ids=ids, final=_FINAL)))
            named = set(session.scalars(_naming(catalogue), self._named(ids=sorted(locked), living=living)))
            fates = {
                each.id: self._policy.fate(each.finished, Uses(each.id in giving, each.id in named), now)
                for each in some
                if each.id in locked
            }
            return self._carry_out(session, catalogue, fates)

    def _carry_out(self, session: Session, catalogue: Catalogue, fates: dict[ExecutionId, Fate]) -> Pruned:
        removed = [id_ for id_, fate in fates.items() if fate is Fate.REMOVE]
        shortened = [id_ for id_, fate in fates.items() if fate is Fate.SHORTEN]
        lost: Counter[str] = Counter()
        for each in catalogue.details_of("workflow_execution"):
            rows = session.execute(_taking_details(each), self._named(removed=removed, shortened=shortened))
            lost.update({row[0]: row[1] for row in rows})
        executions = _rows(session, _REMOVE, self._named(ids=removed))
        return Pruned(executions, len(lost.keys() & set(shortened)), lost.total())

    def prune_answers(self, now: datetime) -> Pruned:
        """Removes answers that are old enough and that no attempt on record names, an unfinished execution's least."""
        if self._policy.answers is None:
            return Pruned()
        before, after, removed = now - self._policy.answers, "", 0
        while True:
            with self._transaction() as session:
                page = self._named(before=before, after=after, limit=_ROWS_AT_ONCE)
                rows = session.execute(_OLD_ANSWERS, page).all()
                unnamed = [row[0] for row in rows if not row[1]]
                removed += _rows(session, _REMOVE_ANSWERS, self._named(ids=unnamed, before=before))
            if len(rows) < _ROWS_AT_ONCE:
                return Pruned(answers=removed)
            after = rows[-1][0]

    def purge_deleted(self, now: datetime) -> Pruned:
        """Removes rows that have been marked as deleted for long enough, those that refer to others first.

        Rows that are not deleted let go of what they refer to; where they cannot, or an unfinished execution needs
        it, it stays until they are gone.
        """
        if self._policy.deleted is None:
            return Pruned()
        before = now - self._policy.deleted
        with self._transaction() as session:
            catalogue = read_catalogue(session)
        tables = [table for table in catalogue.tables if "deleted_at" in catalogue.columns[table]]
        return Pruned(deleted=sum(sum(self._purge(catalogue, table, before)) for table in tables))

    def _purge(self, catalogue: Catalogue, table: str, before: datetime) -> Iterator[int]:
        after = ""
        one = f"DELETE FROM {SCHEMA}.{table} WHERE organization_id = :organization_id AND id = ANY(:ids)"
        while True:
            with self._transaction() as session:
                page = self._named(before=before, after=after, limit=_ROWS_AT_ONCE, final=_FINAL)
                ids = list(session.scalars(_purgeable(catalogue, table), page))
                for each in catalogue.users_of(table):
                    if each.is_optional:
                        session.execute(_letting_go(each.table, each.column), self._named(ids=ids))
                removed = _rows(session, text(one), self._named(ids=ids))
            yield removed
            if len(ids) < _ROWS_AT_ONCE:
                return
            after = ids[-1]

    def _named(self, **values: object) -> dict[str, object]:
        return {"organization_id": self._organization_id, **values}

    @contextmanager
    def _transaction(self) -> Generator[Session]:
        with self._database.org_session(self._organization_id) as session:
            yield session
            if self._dry_run:
                session.rollback()


def _naming(catalogue: Catalogue) -> TextClause:
    """Those of the executions that rows of living graphs name as their source, or that rows refer to."""
    ours = "r.organization_id = e.organization_id"
    graphs = [table for table in sorted(catalogue.going_with("extraction")) if catalogue.columns[table] >= _OF_GRAPHS]
    sources = (
        f"e.extraction_id = ANY(:living) AND EXISTS (SELECT FROM {SCHEMA}.{table} r "
        f"WHERE {ours} AND r.extraction_id = e.extraction_id AND r.source = e.id)"
        for table in graphs
    )
    users = (
        f"EXISTS (SELECT FROM {SCHEMA}.{each.table} r WHERE {ours} AND r.{each.column} = e.id)"
        for each in catalogue.users_of("workflow_execution")
    )
    conditions = " OR ".join(f"({condition})" for condition in ("false", *sources, *users))
    return text(
        f"SELECT e.id FROM {SCHEMA}.workflow_execution e "
        f"WHERE e.organization_id = :organization_id AND e.id = ANY(:ids) AND ({conditions})"
    )


def _taking_details(each: Reference) -> TextClause:
    """Takes the details of executions; how many of each execution."""
    staying = _STAYING_DETAILS.get(each.table, "false")
    return text(
        f"WITH gone AS (DELETE FROM {SCHEMA}.{each.table} d WHERE d.organization_id = :organization_id AND "
        f"(d.{each.column} = ANY(:removed) OR (d.{each.column} = ANY(:shortened) AND NOT ({staying}))) "
        f"RETURNING d.{each.column}) SELECT {each.column}, count(*) FROM gone GROUP BY 1"
    )


def _purgeable(catalogue: Catalogue, table: str) -> TextClause:
    """The ids of the next deleted rows that nothing needs any more; locked."""
    needed = [
        f"EXISTS (SELECT FROM {SCHEMA}.{each.table} r WHERE r.organization_id = d.organization_id "
        f"AND r.{each.column} = d.id AND {_insists(each.table, optional=each.is_optional)})"
        for each in catalogue.users_of(table)
        if not each.is_optional or each.table == "workflow_execution"
    ]
    unfinished = ["d.status <> ALL(:final)"] if table == "workflow_execution" else []
    conditions = "".join(f" AND NOT ({condition})" for condition in (*needed, *unfinished))
    return text(
        f"SELECT d.id FROM {SCHEMA}.{table} d WHERE d.organization_id = :organization_id AND d.id > :after "
        f"AND d.deleted_at < :before{conditions} "
        "ORDER BY d.id LIMIT :limit FOR UPDATE OF d SKIP LOCKED"
    )


def _insists(table: str, *, optional: bool) -> str:
    return "r.status <> ALL(:final)" if optional and table == "workflow_execution" else "true"


def _letting_go(table: str, column: str) -> TextClause:
    return text(
        f"UPDATE {SCHEMA}.{table} SET {column} = NULL WHERE organization_id = :organization_id AND {column} = ANY(:ids)"
    )


def _rows(session: Session, statement: TextClause, values: dict[str, Any]) -> int:
    result = session.execute(statement, values)
    assert isinstance(result, CursorResult)
    return result.rowcount
