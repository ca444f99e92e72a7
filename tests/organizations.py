"""An organisation with something in every table of the schema, also in those that come later."""

import uuid
from dataclasses import replace
from datetime import UTC, datetime

from sqlalchemy import text
from sqlalchemy.orm import Session

from knowledge.domain import (
    ActivityStatus,
    EntityEmbedding,
    ExecutionStatistics,
    ExecutionStatus,
    Extractor,
    Mention,
    Span,
    Stage,
)
from knowledge.ids import ActivityId, ExecutionId, FlowRunId, MentionId, OrganizationId
from tables.activities import ActivityRecord
from tables.catalogue import Catalogue, read_catalogue
from tables.graph_store import publish
from tables.ledger import Ledger
from tables.results import ResultStore
from tables.session import Database
from tests.graphs import Published, publish_facts

_COLUMNS = text("""
    SELECT a.attname, format_type(a.atttypid, NULL) FROM pg_attribute a
    WHERE a.attrelid = CAST(:table AS regclass) AND a.attnum > 0 AND NOT a.attisdropped
    AND a.attnotnull AND NOT a.atthasdef ORDER BY a.attnum
""")
_VALUES = {
    "text": "'some text'",
    "character varying": "'some'",
    "integer": "1",
    "bigint": "1",
    "double precision": "0.5",
    "boolean": "false",
    "bytea": r"'\x00ff'",
    "jsonb": "'{}'",
    "timestamp with time zone": "now()",
    "vector": "'[0.5,-0.5]'",
    "text[]": "'{}'",
    "integer[]": "'{}'",
}


def fill_organization(database: Database, organization_id: OrganizationId) -> Published:
    """Publishes a graph as a run does, with attempts and answers, and puts a row into each table that has none yet."""
    published = _with_mention_and_vector(database, organization_id, publish_facts(database, organization_id))
    attempt(database, organization_id, published.execution_id)
    with database.org_session(organization_id) as session:
        catalogue = read_catalogue(session)
        for table in reversed(catalogue.tables):
            if not session.scalar(text(f"SELECT count(*) FROM knowledge.{table}")):
                _insert(session, catalogue, table, organization_id)
    return published


def _with_mention_and_vector(database: Database, organization_id: OrganizationId, found: Published) -> Published:
    graph, entity, chunk = found.graph, found.graph.entities[0], found.graph.relations[0].evidence[0].chunk_id
    text_, by = found.document.text[:5], Extractor("test", "lines")
    mention = Mention(MentionId.derive(graph.extraction_id), Span(0, 5), text_, entity.id, chunk, by)
    vector = EntityEmbedding(entity.id, "words", entity.label, (0.5, -0.5))
    whole = replace(graph, mentions=(mention,), embeddings=(vector,))
    publish(database, organization_id, whole, found.execution_id)
    return replace(found, graph=whole)


def attempt(
    database: Database, organization_id: OrganizationId, execution_id: ExecutionId, key: str | None = "answer-1"
) -> None:
    """An attempt of the execution that names an answer, which is stored; for None one that names none."""
    if key is not None:
        ResultStore(database).write(organization_id, key, b'{"said": "so"}')
    at = datetime.now(UTC)
    stage, item = (Stage.CHUNK, "document") if key is None else (Stage.MENTIONS, key)
    done = ActivityRecord(
        ActivityId.new(), execution_id, stage, item, 1, ActivityStatus.COMPLETED, at, at, cache_key=key
    )
    Ledger(database, organization_id).record_activities([done])


def execution(
    database: Database, organization_id: OrganizationId, status: ExecutionStatus = ExecutionStatus.FAILED
) -> tuple[ExecutionId, FlowRunId]:
    """An execution of a flow run of its own, in this status."""
    ledger, flow_run_id = Ledger(database, organization_id), FlowRunId(str(uuid.uuid4()))
    run = ledger.open_execution(flow_run_id, document_name="d", parameters={}, pid=1, host="h")
    if status.is_final:
        ledger.close_execution(run.id, status, None, ExecutionStatistics())
    return run.id, flow_run_id


def _insert(session: Session, catalogue: Catalogue, table: str, organization_id: OrganizationId) -> None:
    columns = {
        str(name): _VALUES[str(kind)] for name, kind in session.execute(_COLUMNS, {"table": f"knowledge.{table}"})
    }
    for each in catalogue.references:
        if each.table == table:
            first = f"FROM knowledge.{each.target} ORDER BY id LIMIT 1"
            columns[each.column] = f"(SELECT id {first})"
            # Rows of a graph refer to rows of their own extraction.
            if "extraction_id" in columns and "extraction_id" in catalogue.columns[each.target]:
                columns["extraction_id"] = f"(SELECT extraction_id {first})"
    columns |= {"organization_id": ":organization_id", "id": ":id"}
    statement = f"INSERT INTO knowledge.{table} ({', '.join(columns)}) VALUES ({', '.join(columns.values())})"
    session.execute(text(statement), {"organization_id": organization_id, "id": f"row-{uuid.uuid4().hex}"})
