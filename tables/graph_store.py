"""Published graphs: written in one transaction, keyed by content, read back equal."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    CursorResult,
    RowMapping,
    Select,
    Text,
    all_,
    and_,
    bindparam,
    delete,
    select,
    text,
    tuple_,
)
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import Session

from knowledge.domain import Evidence, ExecutionStatus, KnowledgeGraph
from knowledge.errors import NotFound
from knowledge.ids import DocumentId, ExecutionId, ExtractionId, OntologyId, OrganizationId, RelationId
from tables.base import OrgTable, table_of
from tables.bulk import Columns, insert_new, upsert
from tables.extractions import ensure_extraction
from tables.graph import EmbeddingRow, EntityRow, EvidenceRow, ExtractionRow, MentionRow, RelationRow
from tables.graph_rows import (
    GRAPH_TABLES,
    Row,
    embedding_of,
    entity_of,
    evidence_of,
    mention_of,
    relation_of,
    rows_of,
)
from tables.session import Database
from tables.workflow import WorkflowExecution

# A connection keeps the plans by which foreign keys are checked. Those made while a table was small lead through all
# rows of the organisation, or of the table, for every row that is inserted, until the table is analysed.
_PLAN_ANEW = text("DISCARD PLANS")


@dataclass(frozen=True, slots=True)
class LatestExtraction:
    """What a document and an ontology gave last, and the completed execution that gave it."""

    document_id: DocumentId
    ontology_id: OntologyId
    extraction_id: ExtractionId
    execution_id: ExecutionId
    ended_at: datetime


def publish(
    database: Database, organization_id: OrganizationId, graph: KnowledgeGraph, execution_id: ExecutionId
) -> int:
    """Makes the stored graph of the extraction this one, in one transaction; the number of rows that changed.

    Rows are keyed by content: publishing the same graph again changes none, and rows keep as their `source` the
    execution that first published them. Vectors are kept as 4-byte floats.

    Raises:
        NotFound: the document or the ontology is not stored.
        StoreUnavailable: the database did not answer; nothing has changed.
    """
    common: Row = {
        "organization_id": organization_id,
        "extraction_id": graph.extraction_id,
        "source": str(execution_id),
        # What was retracted comes back.
        "deleted_at": None,
        "deleted_by": None,
    }
    wanted = rows_of(graph)
    with database.org_session(organization_id) as session:
        ensure_extraction(session, organization_id, graph.extraction_id, graph.document_id, graph.ontology_id)
        _lock(session, organization_id, graph.extraction_id)
        session.execute(_PLAN_ANEW)
        if not _has_entities(session, organization_id, graph.extraction_id):
            return sum(insert_new(session, table_of(model), wanted[model], common=common) for model in GRAPH_TABLES)
        changed = sum(_upsert(session, model, common, wanted[model]) for model in GRAPH_TABLES)
        return changed + sum(_remove_others(session, model, common, wanted[model]) for model in reversed(GRAPH_TABLES))


def _lock(session: Session, organization_id: OrganizationId, extraction_id: ExtractionId) -> None:
    # Two executions of one extraction publish one after the other instead of deadlocking.
    session.execute(
        select(ExtractionRow.id)
        .where(ExtractionRow.organization_id == organization_id, ExtractionRow.id == extraction_id)
        .with_for_update()
    ).one()


def _has_entities(session: Session, organization_id: OrganizationId, extraction_id: ExtractionId) -> bool:
    """Whether the extraction has any row yet: all others refer to its entities."""
    row = EntityRow
    ours = (row.organization_id == organization_id, row.extraction_id == extraction_id)
    return session.scalar(select(row.id).where(*ours).limit(1)) is not None


def _upsert(session: Session, model: type[OrgTable], common: Row, rows: list[Row]) -> int:
    """Writes the rows; the number that are new or differ from what was stored."""
    table = table_of(model)
    unchanging = ("organization_id", "id", "source")

    def is_same(offered: Columns) -> ColumnElement[bool]:
        content = [name for name in (*common, *rows[0]) if name not in unchanging]
        stored = tuple_(*(table.c[name] for name in content))
        return stored.is_not_distinct_from(tuple_(*(offered[name] for name in content)))

    key = ("organization_id", "id")
    return upsert(session, table, rows, common=common, key=key, keep=("source",), unless=is_same)


def _remove_others(session: Session, model: type[OrgTable], common: Row, wanted: list[Row]) -> int:
    table = table_of(model)
    ours = (table.c[name] == common[name] for name in ("organization_id", "extraction_id"))
    # One array, because a statement takes 65,535 parameters at most.
    listed = bindparam("wanted", [row["id"] for row in wanted], type_=ARRAY(Text))
    result = session.execute(delete(table).where(*ours, table.c.id != all_(listed)))
    assert isinstance(result, CursorResult)
    return result.rowcount


def load_graph(database: Database, organization_id: OrganizationId, extraction_id: ExtractionId) -> KnowledgeGraph:
    """The graph as it was published (its vectors rounded to 4-byte floats), each tuple sorted by id.

    Raises:
        NotFound: this organisation has no such extraction.
        StoreUnavailable: the database did not answer.
    """
    with database.org_session(organization_id) as session:
        extraction = session.get(ExtractionRow, (organization_id, extraction_id))
        if extraction is None or extraction.deleted_at is not None:
            raise NotFound("extraction", extraction_id)
        entities, mentions, relations, evidence, embeddings = (
            _rows(session, model, organization_id, extraction_id)
            for model in (EntityRow, MentionRow, RelationRow, EvidenceRow, EmbeddingRow)
        )
    evidence_of_relation = _by_relation(evidence)
    return KnowledgeGraph(
        extraction_id=extraction.id,
        document_id=extraction.document_id,
        ontology_id=extraction.ontology_id,
        entities=tuple(sorted(map(entity_of, entities), key=lambda entity: entity.id)),
        mentions=tuple(sorted(map(mention_of, mentions), key=lambda mention: mention.id)),
        relations=tuple(
            sorted((relation_of(row, evidence_of_relation) for row in relations), key=lambda relation: relation.id)
        ),
        embeddings=tuple(
            sorted(map(embedding_of, embeddings), key=lambda found: (found.entity_id, found.model, found.text))
        ),
    )


def _rows(
    session: Session, model: type[OrgTable], organization_id: OrganizationId, extraction_id: ExtractionId
) -> Sequence[RowMapping]:
    table = table_of(model)
    query = select(table).where(table.c.organization_id == organization_id, table.c.extraction_id == extraction_id)
    return session.execute(query).mappings().all()


def _by_relation(rows: Sequence[RowMapping]) -> dict[RelationId, list[Evidence]]:
    found: defaultdict[RelationId, list[Evidence]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: row["position"]):
        found[row["relation_id"]].append(evidence_of(row))
    return found


def latest_extractions(database: Database, organization_id: OrganizationId) -> tuple[LatestExtraction, ...]:
    """For each document and ontology the extraction of the latest completed execution, sorted by the two.

    What has been retracted is left out.

    Raises:
        StoreUnavailable: the database did not answer.
    """
    run = WorkflowExecution
    query = (
        _published(organization_id)
        .ext(distinct_on(run.document_id, run.ontology_id))
        .order_by(run.document_id, run.ontology_id, run.ended_at.desc(), run.id)
    )
    with database.org_session(organization_id) as session:
        rows = session.execute(query).all()
    found = [
        LatestExtraction(document_id, ontology_id, extraction_id, execution_id, ended_at)
        for document_id, ontology_id, extraction_id, execution_id, ended_at in rows
        if document_id and ontology_id and extraction_id and ended_at
    ]
    return tuple(sorted(found, key=lambda latest: (latest.document_id, latest.ontology_id)))


def latest_of(
    session: Session, organization_id: OrganizationId, document_id: DocumentId, ontology_id: OntologyId
) -> ExtractionId | None:
    """The extraction of the latest completed execution of this document with this ontology, unless retracted."""
    run = WorkflowExecution
    query = _published(organization_id).where(run.document_id == document_id, run.ontology_id == ontology_id)
    row = session.execute(query.order_by(run.ended_at.desc(), run.id).limit(1)).first()
    return None if row is None else row.extraction_id


def _published(
    organization_id: OrganizationId,
) -> Select[DocumentId | None, OntologyId | None, ExtractionId | None, ExecutionId, datetime | None]:
    run, extraction = WorkflowExecution, ExtractionRow
    same = and_(extraction.organization_id == run.organization_id, extraction.id == run.extraction_id)
    return (
        select(run.document_id, run.ontology_id, run.extraction_id, run.id, run.ended_at)
        .join(extraction, same)
        .where(
            run.organization_id == organization_id,
            run.status == ExecutionStatus.COMPLETED,
            run.deleted_at.is_(None),
            extraction.deleted_at.is_(None),
        )
    )
