"""Retraction: what a document has put into its organisation's graph is taken out again, softly."""

from sqlalchemy import ColumnElement, TextClause, delete, func, select, text, update
from sqlalchemy.orm import Session

from knowledge.ids import DocumentId, ExtractionId, OntologyId, OrganizationId
from tables.base import ACTOR, OrgTable
from tables.graph import DocumentRow, ExtractionRow
from tables.graph_rows import GRAPH_TABLES
from tables.links import EntityNameRow
from tables.search import SegmentRow

_DELETED_BY: TextClause = text(ACTOR)


def take_turns(session: Session, organization_id: OrganizationId) -> None:
    """Until the transaction ends, nobody else who calls this for the organisation goes on."""
    session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"retraction {organization_id}", 0))))


def retract(
    session: Session, organization_id: OrganizationId, document_id: DocumentId, ontology_id: OntologyId, source: str
) -> bool:
    """Marks all that was read out of the document with this ontology as deleted; whether there was anything.

    Exports, search and links do not show it any more; links that somebody has undone stay undone should it come back.
    A document that no other extraction holds is marked, too. `source` says why, e.g. the batch. Publishing again
    brings everything back.
    """
    row = ExtractionRow
    mine = (row.organization_id == organization_id, row.document_id == document_id, row.deleted_at.is_(None))
    found = list(session.scalars(select(row.id).where(*mine, row.ontology_id == ontology_id).with_for_update()))
    for model in (*GRAPH_TABLES, EntityNameRow, ExtractionRow):
        _mark(session, model, organization_id, _belongs_to(model, found), source)
    session.execute(
        delete(SegmentRow).where(SegmentRow.organization_id == organization_id, SegmentRow.extraction_id.in_(found))
    )
    if session.scalar(select(row.id).where(*mine).limit(1)) is None:
        _mark(session, DocumentRow, organization_id, DocumentRow.id == document_id, source)
    return bool(found)


def _belongs_to(model: type[OrgTable], extraction_ids: list[ExtractionId]) -> ColumnElement[bool]:
    column = model.__table__.c["id" if model is ExtractionRow else "extraction_id"]
    return column.in_(extraction_ids)


def _mark(
    session: Session, model: type[OrgTable], organization_id: OrganizationId, which: ColumnElement[bool], source: str
) -> None:
    session.execute(
        update(model)
        .where(model.organization_id == organization_id, which, model.deleted_at.is_(None))
        .values(deleted_at=func.now(), deleted_by=source or _DELETED_BY)
        .execution_options(synchronize_session=False)
    )
