"""Extractions: which document was read with which ontology, by which models, with which options."""

from collections.abc import Mapping

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.orm import Session

from knowledge.errors import NotFound
from knowledge.ids import DocumentId, ExtractionId, OntologyId, OrganizationId
from tables.graph import DocumentRow, ExtractionRow, OntologyRow
from tables.session import Database
from tables.storable import storable_json


def ensure_extraction(
    session: Session,
    organization_id: OrganizationId,
    extraction_id: ExtractionId,
    document_id: DocumentId,
    ontology_id: OntologyId,
    *,
    models: Mapping[str, object] | None = None,
    options: Mapping[str, object] | None = None,
) -> None:
    """Makes sure that the extraction has its row; what one that is there already says stays.

    Raises:
        NotFound: the document or the ontology is not stored.
    """
    for kind, row, key in (("document", DocumentRow, document_id), ("ontology", OntologyRow, ontology_id)):
        query = select(row.id).where(row.organization_id == organization_id, row.id == key)
        if session.scalar(query) is None:
            raise NotFound(kind, key)
    session.execute(
        insert(ExtractionRow)
        .values(
            organization_id=organization_id,
            id=extraction_id,
            document_id=document_id,
            ontology_id=ontology_id,
            models=storable_json(models or {}),
            options=storable_json(options or {}),
        )
        .on_conflict_do_update(
            index_elements=["organization_id", "id"],
            set_={"deleted_at": None, "deleted_by": None},
            where=ExtractionRow.deleted_at.is_not(None),
        )
    )


def extraction_options(
    database: Database, organization_id: OrganizationId, extraction_id: ExtractionId
) -> Mapping[str, object]:
    """The options with which the extraction was made; empty where it was made without a workflow.

    Raises:
        NotFound: this organisation has no such extraction.
        StoreUnavailable: the database did not answer.
    """
    with database.org_session(organization_id) as session:
        row = session.get(ExtractionRow, (organization_id, extraction_id))
        if row is None or row.deleted_at is not None:
            raise NotFound("extraction", extraction_id)
        return row.options
