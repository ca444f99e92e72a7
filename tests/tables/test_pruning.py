"""What goes of an organisation's past, and what stays, on a real database."""

import asyncio
import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from knowledge.domain import ExecutionStatus
from knowledge.ids import ExecutionId, OrganizationId
from knowledge.retention import RetentionPolicy
from tables.catalogue import read_catalogue
from tables.fence import Fence
from tables.graph_store import latest_extractions, load_graph
from tables.ledger import Ledger
from tables.organization_rows import count_rows, organizations
from tables.progress_stream import ProgressListener
from tables.pruning import Pruned, Pruner
from tables.results import ResultStore
from tables.session import Database
from tests.graphs import publish_facts
from tests.organizations import attempt, execution, fill_organization

NOW = datetime.now(UTC) + timedelta(days=100)
POLICY = RetentionPolicy(timedelta(days=90), timedelta(days=90), timedelta(days=90), timedelta(days=30))


def prune(database: Database, organization_id: OrganizationId, policy: RetentionPolicy = POLICY) -> Pruned:
    """What went, a hundred days from now."""
    return Pruner(database, organization_id, policy).prune(NOW)


def executions(database: Database, organization_id: OrganizationId) -> set[ExecutionId]:
    """The ids of the executions that are there."""
    with database.org_session(organization_id) as session:
        return set(map(ExecutionId, session.scalars(text("SELECT id FROM knowledge.workflow_execution"))))


def mark_deleted(database: Database, organization_id: OrganizationId, *tables: str) -> None:
    """Marks all of the tables' rows as deleted now."""
    with database.org_session(organization_id) as session:
        for table in tables:
            session.execute(text(f"UPDATE knowledge.{table} SET deleted_at = now()"))


def test_old_executions_go_with_their_details_and_the_newest_stays(
    database: Database, organization_id: OrganizationId
) -> None:
    """The ledger does not grow for ever, and pruning again finds nothing."""
    old, _ = execution(database, organization_id)
    attempt(database, organization_id, old)
    newest, _ = execution(database, organization_id)
    pruned = prune(database, organization_id)
    assert (pruned.executions, pruned.shortened, pruned.answers) == (1, 0, 1)
    assert pruned.details >= 1
    assert executions(database, organization_id) == {newest}
    assert count_rows(database, organization_id)["workflow_activity"] == 0
    assert organization_id in organizations(database)
    assert prune(database, organization_id) == Pruned()


def test_a_graph_keeps_its_execution_and_the_answers_it_was_made_from(
    database: Database, organization_id: OrganizationId
) -> None:
    """Exports name the execution; the attempts that name answers keep these, and the rest of its details goes."""
    published = publish_facts(database, organization_id)
    attempt(database, organization_id, published.execution_id, "answer-1")
    attempt(database, organization_id, published.execution_id, None)
    ResultStore(database).write(organization_id, "of nobody", b"{}")
    execution(database, organization_id)
    latest = latest_extractions(database, organization_id)
    pruned = prune(database, organization_id)
    assert (pruned.executions, pruned.shortened, pruned.answers) == (0, 1, 1)
    assert count_rows(database, organization_id)["workflow_activity"] == 1
    assert latest_extractions(database, organization_id) == latest
    assert load_graph(database, organization_id, published.graph.extraction_id) == published.graph
    assert ResultStore(database).read(organization_id, "answer-1") is not None
    assert ResultStore(database).read(organization_id, "of nobody") is None
    assert prune(database, organization_id) == Pruned()


async def test_who_follows_a_shortened_execution_is_told_how_it_ended(
    database: Database, organization_id: OrganizationId
) -> None:
    """Its events are gone but for the last, and nobody waits for the others."""
    published = publish_facts(database, organization_id)
    execution(database, organization_id)
    assert prune(database, organization_id).shortened == 1
    async with ProgressListener(database) as listener, asyncio.timeout(10):
        events = [event async for event in listener.stream(organization_id).subscribe(published.execution_id)]
    assert [event.status for event in events] == [ExecutionStatus.COMPLETED]


def test_the_execution_that_first_published_a_graph_stays_beside_the_latest(
    database: Database, organization_id: OrganizationId
) -> None:
    """Rows name their first publisher as their source; who published the same in between is nobody's provenance."""
    runs = [publish_facts(database, organization_id).execution_id for _ in range(3)]
    execution(database, organization_id)
    assert prune(database, organization_id).executions == 1
    assert executions(database, organization_id) >= {runs[0], runs[2]}
    assert runs[1] not in executions(database, organization_id)


@pytest.mark.parametrize("status", [ExecutionStatus.RUNNING, ExecutionStatus.FAILED])
async def test_what_is_under_way_is_left_alone(
    database: Database, organization_id: OrganizationId, status: ExecutionStatus
) -> None:
    """Neither an unfinished execution, nor one whose process is still there, nor the answers that they have."""
    found, flow_run_id = execution(database, organization_id, status)
    attempt(database, organization_id, found)
    execution(database, organization_id)
    fence = Fence(database, flow_run_id)
    assert status is ExecutionStatus.RUNNING or await fence.take()
    try:
        assert prune(database, organization_id) == Pruned()
    finally:
        await fence.release()
    assert found in executions(database, organization_id)


def test_two_that_prune_at_once_are_harmless(database: Database, organization_id: OrganizationId) -> None:
    """A schedule and an operator, say: each row goes once, and neither fails."""
    for _ in range(120):
        execution(database, organization_id)
    publish_facts(database, organization_id)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(prune, [database] * 3, [organization_id] * 3))
    rest = prune(database, organization_id).executions
    assert sum(each.executions for each in found) + rest == 120
    assert len(executions(database, organization_id)) == 1


def test_a_dry_run_counts_and_changes_nothing(database: Database, organization_id: OrganizationId) -> None:
    """Operators look before they let it loose."""
    fill_organization(database, organization_id)
    attempt(database, organization_id, execution(database, organization_id)[0], None)
    execution(database, organization_id)
    before = count_rows(database, organization_id)
    found = Pruner(database, organization_id, POLICY, dry_run=True).prune(NOW)
    assert found.executions == 1
    assert count_rows(database, organization_id) == before
    assert prune(database, organization_id).executions == found.executions


def test_more_executions_than_the_most_go_however_young(database: Database, organization_id: OrganizationId) -> None:
    """By count as well as by age, and the oldest first."""
    runs = [execution(database, organization_id)[0] for _ in range(4)]
    policy = RetentionPolicy(least_executions=1, most_executions=2)
    assert prune(database, organization_id, policy).executions == 2
    assert executions(database, organization_id) == set(runs[2:])


def test_deleted_rows_go_after_their_grace_with_what_belongs_to_them(
    database: Database, organization_id: OrganizationId
) -> None:
    """A document that was taken out is gone: finished executions let go of it, and nothing of its text is left."""
    published = publish_facts(database, organization_id)
    mark_deleted(database, organization_id, "document", "extraction", "entity", "relation", "relation_evidence")
    policy = RetentionPolicy(deleted=timedelta(days=30))
    early = Pruner(database, organization_id, policy).prune(datetime.now(UTC) + timedelta(days=29))
    assert early == Pruned()
    assert prune(database, organization_id, policy).deleted > 10
    left = {table for table, count in count_rows(database, organization_id).items() if count}
    assert left == {"ontology", "workflow_execution", "progress_event"}
    state = Ledger(database, organization_id).load(published.execution_id)
    assert (state.document_id, state.extraction_id) == (None, None)


def test_a_deleted_document_that_a_run_works_on_stays(database: Database, organization_id: OrganizationId) -> None:
    """The run is about to publish from it."""
    published = publish_facts(database, organization_id)
    with database.org_session(organization_id) as session:
        session.execute(text("UPDATE knowledge.workflow_execution SET status = 'waiting'"))
    mark_deleted(database, organization_id, "document", "extraction")
    prune(database, organization_id)
    left = count_rows(database, organization_id)
    assert left["document"] == left["extraction"] == 1
    assert left["entity"] == len(published.graph.entities)


def test_other_organisations_keep_everything(database: Database, organization_id: OrganizationId) -> None:
    """Pruning is bound by row security, like everything else."""
    other = OrganizationId(f"other-{uuid.uuid4().hex}")
    fill_organization(database, other)
    before = count_rows(database, other)
    execution(database, organization_id)
    prune(database, organization_id)
    assert count_rows(database, other) == before


def test_the_catalogue_has_referring_tables_first(database: Database, organization_id: OrganizationId) -> None:
    """So rows go before what they refer to."""
    with database.org_session(organization_id) as session:
        catalogue = read_catalogue(session)
    place = {table: n for n, table in enumerate(catalogue.tables)}
    assert {"document", "stage_result", "search_term", "workflow_signal"} <= place.keys()
    assert all(place[each.table] < place[each.target] for each in catalogue.references)
