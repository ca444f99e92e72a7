"""Row-level security under raw SQL: every table, every way in."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.exc import ProgrammingError

from knowledge.batches import Listed
from knowledge.domain import ActivityStatus, KnowledgeGraph, Stage
from knowledge.ids import ActivityId, ExecutionId, FlowRunId, LinkId, OrganizationId, SignalId
from knowledge.ontology import Ontology
from knowledge.search.entries import segment_content
from knowledge.search.indexing import Unindexed
from tables import batch as batch_tables
from tables import graph as graph_tables
from tables import links as link_tables
from tables import search as search_tables
from tables import tokens as token_tables
from tables import workflow as workflow_tables
from tables.activities import ActivityRecord
from tables.base import OrgTable
from tables.batches import BatchStore
from tables.graph_store import publish
from tables.ledger import Ledger
from tables.links import link_entities
from tables.results import ResultStore
from tables.row_security import APP_ROLE, unprotected_tables
from tables.search_index import SearchIndexStore
from tables.session import Database
from tests.tables.test_batches import batch_of

MODELS = (batch_tables, graph_tables, link_tables, search_tables, token_tables, workflow_tables)
TABLES = sorted(OrgTable.metadata.tables)
STRANGER = OrganizationId("stranger")
REFUSED = "row-level security"


@pytest.fixture
def rows(
    database: Database,
    organization_id: OrganizationId,
    graph: KnowledgeGraph,
    flow_run_id: Callable[[], FlowRunId],
) -> OrganizationId:
    """The organisation, with at least one row in every table."""
    ledger = Ledger(database, organization_id)
    run = ledger.open_execution(flow_run_id(), document_name="ada", parameters={}, pid=1, host="h")
    ledger.record_activities([_attempt(run.id)])
    publish(database, organization_id, graph, run.id)
    link_entities(database, organization_id, graph.extraction_id, run.id)
    ResultStore(database).write(organization_id, "key", b"{}")
    _index(database, organization_id, graph, run.id)
    token_tables.AccessTokens(database, organization_id).create("a dashboard", "me", lifetime=None)
    with database.org_session(organization_id) as session:
        statement = text(
            "INSERT INTO knowledge.workflow_signal (organization_id, id, execution_id, number, name, sent_at, sent_by)"
            " VALUES (:organization_id, :id, :execution_id, 1, 'pause', now(), 'me')"
        )
        named = {"organization_id": organization_id, "id": SignalId.new(), "execution_id": run.id}
        session.execute(statement, named)
        statement = text(
            "INSERT INTO knowledge.entity_link (organization_id, id, entity_id, other_id, score, reasons, status)"
            " SELECT organization_id, :id, min(id), max(id), 0.7, '{}', 'accepted' FROM knowledge.entity GROUP BY 1"
        )
        session.execute(statement, {"id": LinkId.derive(organization_id)})
    batch = batch_of(organization_id)
    BatchStore(database, organization_id).claim(batch, flow_run_id())
    BatchStore(database, organization_id).register(batch.id, 1, [Listed("/a/x.txt", "x", "/o.ttl")])
    return organization_id


def _index(
    database: Database, organization_id: OrganizationId, graph: KnowledgeGraph, execution_id: ExecutionId
) -> None:
    store = SearchIndexStore(database, organization_id)
    ontology = Ontology.of("", "people", (), ())
    content = segment_content(graph, ontology)
    segment_id = store.begin(Unindexed(graph.extraction_id, execution_id), "minilm", 4, content)
    store.add(segment_id, [(entry, (0.5, -0.5, 0.5, 0.5)) for entry in content.entries], "minilm")
    store.finish(segment_id, content)


def _attempt(execution_id: ExecutionId) -> ActivityRecord:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return ActivityRecord(ActivityId.new(), execution_id, Stage.CHUNK, "0", 1, ActivityStatus.RUNNING, now)


@pytest.mark.parametrize("table", TABLES)
def test_an_organisation_sees_its_own_rows_and_no_others(database: Database, rows: OrganizationId, table: str) -> None:
    """Not even raw SQL without a WHERE, or with another organisation's id in it, reads across."""
    with database.org_session(rows) as session:
        assert session.scalar(text(f"SELECT count(*) FROM {table}"))
        assert session.scalars(text(f"SELECT DISTINCT organization_id FROM {table}")).all() == [rows]
    with database.org_session(STRANGER) as session:
        assert session.scalar(text(f"SELECT count(*) FROM {table}")) == 0
        named = text(f"SELECT count(*) FROM {table} WHERE organization_id = :id")
        assert session.scalar(named, {"id": rows}) == 0


@pytest.mark.parametrize("table", TABLES)
def test_other_organisations_rows_are_neither_changed_nor_deleted(
    database: Database, rows: OrganizationId, table: str
) -> None:
    """Another organisation's UPDATE and DELETE find nothing to work on."""
    with database.org_session(rows) as session:
        before = session.execute(text(f"SELECT * FROM {table} ORDER BY id")).all()
    with database.org_session(STRANGER) as session:
        for statement in (f"UPDATE {table} SET source = 'theirs'", f"DELETE FROM {table}"):
            assert session.execute(text(f"{statement} RETURNING id")).all() == []
    with database.org_session(rows) as session:
        assert session.execute(text(f"SELECT * FROM {table} ORDER BY id")).all() == before


@pytest.mark.parametrize("table", TABLES)
def test_writing_into_another_organisation_is_refused(database: Database, rows: OrganizationId, table: str) -> None:
    """Neither a new row nor a moved one can end up with somebody else."""
    for statement in (
        f"INSERT INTO {table} (organization_id, id) VALUES ('stranger', 'x')",
        f"UPDATE {table} SET organization_id = 'stranger'",
    ):
        with pytest.raises(ProgrammingError, match=REFUSED), database.org_session(rows) as session:
            session.execute(text(statement))
    with pytest.raises(ProgrammingError, match="permission denied"), database.org_session(rows) as session:
        session.execute(text(f"TRUNCATE {table} CASCADE"))


@pytest.mark.parametrize("setting", [None, ""])
@pytest.mark.parametrize("table", TABLES)
def test_without_an_organisation_nothing_is_seen_and_nothing_written(
    administrator: Engine, rows: OrganizationId, table: str, setting: str | None
) -> None:
    """Forgetting to say for whom one asks fails closed, also when the setting is left empty."""
    with administrator.connect() as connection:
        _take_role(connection, setting)
        assert connection.scalar(text(f"SELECT count(*) FROM {table}")) == 0
        for organization in (str(rows), ""):
            insert = text(f"INSERT INTO {table} (organization_id, id) VALUES (:organization, 'x')")
            with pytest.raises(ProgrammingError, match=REFUSED), connection.begin_nested():
                connection.execute(insert, {"organization": organization})


def _take_role(connection: Connection, setting: str | None) -> None:
    connection.execute(text(f"SET LOCAL ROLE {APP_ROLE}"))
    if setting is not None:
        connection.execute(text("SELECT set_config('app.organization_id', :value, true)"), {"value": setting})


def test_a_row_cannot_refer_to_another_organisations_row(
    database: Database, rows: OrganizationId, graph: KnowledgeGraph
) -> None:
    """Foreign keys include the organisation: a known id of somebody else's document leads nowhere."""
    statement = text(
        "INSERT INTO knowledge.extraction (organization_id, id, document_id, ontology_id) "
        "VALUES ('stranger', 'x', :document, :ontology)"
    )
    found = {"document": graph.document_id, "ontology": graph.ontology_id}
    with pytest.raises(Exception, match="fk_extraction"), database.org_session(STRANGER) as session:
        session.execute(statement, found)


def test_a_table_that_lost_its_protection_is_named(administrator: Engine) -> None:
    """`check` notices when somebody switches row-level security off, adds a policy, or widens the rights."""
    for statement in (
        "ALTER TABLE knowledge.mention DISABLE ROW LEVEL SECURITY",
        "ALTER TABLE knowledge.mention NO FORCE ROW LEVEL SECURITY",
        "CREATE POLICY all_of_it ON knowledge.mention USING (true)",
        "ALTER POLICY organization_isolation ON knowledge.mention USING (true)",
        "DROP TRIGGER touch ON knowledge.mention",
        f"GRANT TRUNCATE ON knowledge.mention TO {APP_ROLE}",
    ):
        with administrator.connect() as connection:
            assert unprotected_tables(connection) == ()
            connection.execute(text(statement))
            assert unprotected_tables(connection) == ("mention",)
    with administrator.connect() as connection:
        connection.execute(text(f"ALTER ROLE {APP_ROLE} BYPASSRLS"))
        assert len(unprotected_tables(connection)) == len(TABLES)
