"""Batches of one organisation, and their documents, as rows."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Select, and_, func, not_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from knowledge.batches import Batch, BatchCounts, BatchDocument, DocumentState, Listed
from knowledge.domain import ExecutionStatus, Stage
from knowledge.errors import NotFound
from knowledge.ids import BatchDocumentId, BatchId, DocumentId, ExecutionId, ExtractionId, FlowRunId, OrganizationId
from tables.batch import WorkflowBatch, WorkflowBatchDocument
from tables.batch_rows import REGISTER, batch_of, document_of, values_of, write_documents
from tables.fence import held_by_session
from tables.graph_store import latest_of
from tables.retraction import retract, take_turns
from tables.session import Database
from tables.storable import storable_text
from tables.workflow import WorkflowExecution

_REGISTERED_AT_ONCE = 500
_FINAL = [state for state in DocumentState if state.is_final]
_KEY = ("organization_id", "id")


@dataclass(frozen=True, slots=True)
class Standing:
    """A document under way, and what the ledger says of its flow run; no status before its execution is opened."""

    document: BatchDocument
    execution_id: ExecutionId | None
    status: ExecutionStatus | None
    stage: Stage | None
    error: str | None


class BatchStore:
    """One organisation's batches. Every method is a transaction of its own.

    All raise StoreUnavailable when the database does not answer. Only the holder of a batch's flow run writes.
    """

    def __init__(self, database: Database, organization_id: OrganizationId) -> None:
        self._database = database
        self._organization_id = organization_id

    def claim(self, wanted: Batch, flow_run_id: FlowRunId) -> Batch:
        """The batch, now asked for as `wanted` says; of this flow run, unless a live process has it for another one.

        The latter makes one more pass, because of this call.
        """
        values = {**values_of(wanted), "flow_run_id": None, "passes": 0, "execution_id": None}
        with self._session() as session:
            session.execute(insert(WorkflowBatch).values(values).on_conflict_do_nothing(index_elements=_KEY))
            row = session.scalars(self._select(wanted.id).with_for_update()).one()
            if row.flow_run_id != flow_run_id:
                row.passes += 1
                for name in ("sources", "options", "max_in_flight", "on_failure", "retract_missing", "quiet_seconds"):
                    setattr(row, name, values[name])
                if not self._is_alive(session, row):
                    row.flow_run_id, row.execution_id = flow_run_id, None
            return batch_of(row)

    def attach(self, batch_id: BatchId, execution_id: ExecutionId) -> None:
        """Notes the execution of the flow run that has the batch."""
        row = WorkflowBatch
        changes = update(row).where(row.organization_id == self._organization_id, row.id == batch_id)
        with self._session() as session:
            session.execute(changes.values(execution_id=execution_id))

    def release(self, batch_id: BatchId, number: int) -> bool:
        """Whether the batch is done with pass `number`: it is let go, unless it was started once more meanwhile."""
        row = WorkflowBatch
        mine = (row.organization_id == self._organization_id, row.id == batch_id, row.passes == number)
        with self._session() as session:
            return session.scalar(update(row).where(*mine).values(flow_run_id=None).returning(row.id)) is not None

    def load(self, batch_id: BatchId) -> Batch:
        """The batch.

        Raises:
            NotFound: the organisation has no such batch.
        """
        with self._session() as session:
            row = session.scalar(self._select(batch_id))
            if row is None:
                raise NotFound("batch", batch_id)
            return batch_of(row)

    def find_by_execution(self, execution_id: ExecutionId) -> Batch | None:
        """The batch whose latest execution this is, or None."""
        row = WorkflowBatch
        query = select(row).where(row.organization_id == self._organization_id, row.execution_id == execution_id)
        with self._session() as session:
            found = session.scalar(query)
            return None if found is None else batch_of(found)

    def list_batches(self, limit: int = 100) -> tuple[Batch, ...]:
        """The latest `limit` batches, the newest first."""
        row = WorkflowBatch
        query = select(row).where(row.organization_id == self._organization_id, row.deleted_at.is_(None))
        with self._session() as session:
            return tuple(map(batch_of, session.scalars(query.order_by(row.updated_at.desc(), row.id).limit(limit))))

    def register(self, batch_id: BatchId, number: int, listed: Iterable[Listed]) -> int:
        """Puts documents into pass `number`; how many of them it had not seen. Doing it again adds none."""
        added = 0
        remaining = iter(listed)
        while some := list(islice(remaining, _REGISTERED_AT_ONCE)):
            rows = {
                document.id_in(batch_id): {
                    "id": document.id_in(batch_id),
                    "location": storable_text(document.location),
                    "name": storable_text(document.name),
                    "ontology": document.ontology,
                }
                for document in some
            }
            given = {"batch_id": batch_id, "pass": number, "organization_id": self._organization_id}
            with self._session() as session:
                result: Any = session.execute(REGISTER, {**given, "rows": list(rows.values())})
                added += result.rowcount
        return added

    def keep(self, batch_id: BatchId, number: int, locations: Sequence[str]) -> None:
        """Carries documents that cannot be looked at now over from earlier passes to pass `number`, as they are."""
        row = WorkflowBatchDocument
        mine = (row.organization_id == self._organization_id, row.batch_id == batch_id, row.state.in_(_FINAL))
        with self._session() as session:
            session.execute(update(row).where(*mine, row.location.in_(locations)).values(last_pass=number))

    def pending(self, batch_id: BatchId, number: int, limit: int) -> tuple[BatchDocument, ...]:
        """Documents of pass `number` that have not been begun, in the order of their ids."""
        row = WorkflowBatchDocument
        query = self._documents(batch_id).where(
            row.last_pass == number, row.state == DocumentState.PENDING, row.flow_run_id.is_(None)
        )
        with self._session() as session:
            return tuple(map(document_of, session.scalars(query.order_by(row.id).limit(limit))))

    def under_way(self, batch_id: BatchId) -> tuple[Standing, ...]:
        """All documents that have a flow run and are not at an end, with what the ledger says of each; one query."""
        row, run = WorkflowBatchDocument, WorkflowExecution
        same = and_(run.organization_id == row.organization_id, run.flow_run_id == row.flow_run_id)
        query = (
            select(row, run.id, run.status, run.stage, run.error)
            .outerjoin(run, same)
            .where(
                row.organization_id == self._organization_id,
                row.batch_id == batch_id,
                row.state.not_in(_FINAL),
                row.flow_run_id.is_not(None),
            )
            .order_by(row.id)
        )
        with self._session() as session:
            found = session.execute(query).all()
            return tuple(Standing(document_of(r), id_, status, stage, error) for r, id_, status, stage, error in found)

    def save(self, documents: Sequence[BatchDocument]) -> None:
        """Writes documents as they stand now, in one statement; those that are as they were are not touched."""
        with self._session() as session:
            write_documents(session, documents)

    def reuse(self, document: BatchDocument) -> bool:
        """Whether what is wanted of the document has been published, as the latest; then it is written as it stands.

        Whoever retracts content takes turns with this.
        """
        assert document.document_id is not None
        assert document.ontology_id is not None
        with self._session() as session:
            take_turns(session, self._organization_id)
            latest = latest_of(session, self._organization_id, document.document_id, document.ontology_id)
            is_there = latest is not None and latest == document.extraction_id
            if is_there:
                write_documents(session, [document])
            return is_there

    def unsettled(self, batch_id: BatchId, limit: int) -> tuple[BatchDocument, ...]:
        """Completed documents whose earlier content, if they had any, has not been retracted yet."""
        row = WorkflowBatchDocument
        settled = and_(
            row.published_id.is_not_distinct_from(row.document_id),
            row.published_with_id.is_not_distinct_from(row.ontology_id),
        )
        query = self._documents(batch_id).where(
            row.state == DocumentState.COMPLETED, row.retracted_at.is_(None), not_(settled)
        )
        with self._session() as session:
            return tuple(map(document_of, session.scalars(query.order_by(row.id).limit(limit))))

    def retract_published(self, document: BatchDocument, source: str) -> bool:
        """Takes out of the graph what the document has put there, unless others have it, too; whether it did."""
        old = (document.published_id, document.published_with_id)
        if old[0] is None or old[1] is None:
            return False
        with self._session() as session:
            take_turns(session, self._organization_id)
            if self._has_other_holder(session, document.id, old[0], str(old[1])):
                return False
            return retract(session, self._organization_id, old[0], old[1], source)

    def missing(self, batch_id: BatchId, number: int, limit: int) -> tuple[BatchDocument, ...]:
        """Documents of earlier passes, not seen in pass `number`, that still have something in the graph."""
        row = WorkflowBatchDocument
        query = self._documents(batch_id).where(row.last_pass < number, row.published_id.is_not(None))
        with self._session() as session:
            return tuple(map(document_of, session.scalars(query.order_by(row.id).limit(limit))))

    def cancel_pending(self, batch_id: BatchId, reason: str) -> None:
        """Ends the documents that have not been begun as cancelled."""
        row = WorkflowBatchDocument
        mine = (row.organization_id == self._organization_id, row.batch_id == batch_id)
        waiting = (row.state == DocumentState.PENDING, row.flow_run_id.is_(None))
        with self._session() as session:
            session.execute(
                update(row).where(*mine, *waiting).values(state=DocumentState.CANCELLED, error=storable_text(reason))
            )

    def cancel_unopened(self, batch_id: BatchId, reason: str) -> None:
        """Ends as cancelled the documents under way whose flow run has opened no execution."""
        row, run = WorkflowBatchDocument, WorkflowExecution
        same = and_(run.organization_id == row.organization_id, run.flow_run_id == row.flow_run_id)
        mine = (row.organization_id == self._organization_id, row.batch_id == batch_id, row.state.not_in(_FINAL))
        unopened = ~select(run.id).where(same).exists()
        changes = update(row).where(*mine, unopened).execution_options(synchronize_session=False)
        with self._session() as session:
            session.execute(changes.values(state=DocumentState.CANCELLED, error=storable_text(reason)))

    def mark_retracted(self, documents: Sequence[BatchDocument]) -> None:
        """Notes that these documents have nothing in the graph any more."""
        row = WorkflowBatchDocument
        listed = [document.id for document in documents]
        mine = (row.organization_id == self._organization_id, row.id.in_(listed))
        with self._session() as session:
            session.execute(
                update(row).where(*mine).values(retracted_at=func.now(), published_id=None, published_with_id=None)
            )

    def extracted_in(self, batch_id: BatchId, number: int) -> tuple[tuple[ExtractionId, ExecutionId], ...]:
        """What was newly extracted in pass `number`, with the executions that did it; sorted."""
        row, run = WorkflowBatchDocument, WorkflowExecution
        same = and_(run.organization_id == row.organization_id, run.flow_run_id == row.flow_run_id)
        query = (
            select(run.extraction_id, run.id)
            .join(row, same)
            .where(
                row.organization_id == self._organization_id,
                row.batch_id == batch_id,
                row.last_pass == number,
                row.state == DocumentState.COMPLETED,
                run.extraction_id.is_not(None),
            )
            .order_by(run.extraction_id)
        )
        with self._session() as session:
            return tuple((extraction, execution) for extraction, execution in session.execute(query) if extraction)

    def counts(self, batch: Batch) -> BatchCounts:
        """The batch's documents in numbers."""
        row = WorkflowBatchDocument
        is_latest = row.last_pass == batch.passes
        query = (
            select(row.state, row.reused, is_latest, func.count(), func.count(row.published_id))
            .where(row.organization_id == self._organization_id, row.batch_id == batch.id)
            .group_by(row.state, row.reused, is_latest)
        )
        with self._session() as session:
            found = session.execute(query).all()
        by_state = {state: sum(n for s, _, now, n, _ in found if now and s is state) for state in DocumentState}
        return BatchCounts(
            by_state,
            reused=sum(n for _, reused, now, n, _ in found if now and reused),
            missing=sum(published for _, _, now, _, published in found if not now),
        )

    def seen(self, batch_id: BatchId) -> tuple[dict[str, str], frozenset[str]]:
        """How documents looked when they were read last, by location; and which have something published."""
        row = WorkflowBatchDocument
        query = select(row.location, row.seen, row.published_id.is_not(None)).where(
            row.organization_id == self._organization_id, row.batch_id == batch_id
        )
        with self._session() as session:
            found = session.execute(query).all()
        return {location: look for location, look, _ in found}, frozenset(row[0] for row in found if row[2])

    def documents(self, batch_id: BatchId) -> Iterator[BatchDocument]:
        """All documents of the batch, in the order of their ids, read in portions."""
        row = WorkflowBatchDocument
        after: BatchDocumentId | None = None
        while True:
            query = self._documents(batch_id).order_by(row.id).limit(_REGISTERED_AT_ONCE)
            if after is not None:
                query = query.where(row.id > after)
            with self._session() as session:
                found = tuple(map(document_of, session.scalars(query)))
            yield from found
            if len(found) < _REGISTERED_AT_ONCE:
                return
            after = found[-1].id

    def _has_other_holder(
        self, session: Session, holder: BatchDocumentId, document_id: DocumentId, ontology_id: str
    ) -> bool:
        row = WorkflowBatchDocument
        others = select(row.id).where(row.organization_id == self._organization_id, row.id != holder)
        published = and_(row.published_id == document_id, row.published_with_id == ontology_id)
        wanted = and_(
            row.document_id == document_id,
            row.ontology_id == ontology_id,
            row.retracted_at.is_(None),
            row.state.not_in([DocumentState.FAILED, DocumentState.CANCELLED]),
        )
        return session.scalar(others.where(published | wanted).limit(1)) is not None

    def _is_alive(self, session: Session, row: WorkflowBatch) -> bool:
        return row.flow_run_id is not None and held_by_session(session, row.flow_run_id)

    def _select(self, batch_id: BatchId) -> Select[WorkflowBatch]:
        row = WorkflowBatch
        return select(row).where(row.organization_id == self._organization_id, row.id == batch_id)

    def _documents(self, batch_id: BatchId) -> Select[WorkflowBatchDocument]:
        row = WorkflowBatchDocument
        return select(row).where(row.organization_id == self._organization_id, row.batch_id == batch_id)

    def _session(self) -> AbstractContextManager[Session]:
        return self._database.org_session(self._organization_id)
