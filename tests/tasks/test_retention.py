"""Retention of Prefect's history, and over all organisations."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import cast

from prefect.client.orchestration import PrefectClient
from prefect.states import Running

from knowledge.domain import ExecutionStatus
from knowledge.ids import OrganizationId
from knowledge.retention import RetentionPolicy
from tables.organization_rows import count_rows
from tables.schema import upgrade
from tables.session import Database, create_database
from tasks.retention import prune, prune_history
from tests.organizations import execution
from tests.played_prefect import Server

POLICY = RetentionPolicy(executions=timedelta(days=90), history=timedelta(days=90))
NOW = datetime.now(UTC) + timedelta(days=91)
YOUNG = datetime.now(UTC) + timedelta(days=90)


async def test_old_flow_runs_go_unless_their_execution_is_not_over(
    database: Database, organization_id: OrganizationId
) -> None:
    """Prefect may call a run over whose process has died; recovery takes it up again."""
    server = Server()
    gone, young, under_way = server.add(), server.add(ended_at=YOUNG), server.add(Running())
    _, unfinished = execution(database, organization_id, ExecutionStatus.RUNNING)
    needed = server.add(id_=unfinished)
    client = cast(PrefectClient, server)
    assert await prune_history(client, database, POLICY, NOW, dry_run=True) == 1
    assert gone in server.runs
    assert await prune_history(client, database, POLICY, NOW) == 1
    assert set(server.runs) == {young, under_way, needed}
    assert {each.flow_run_id for each in server.artifacts.values()} == {young, under_way, needed}


async def test_every_organisation_is_pruned_without_more_rights_than_a_worker_has(empty_database_url: str) -> None:
    """Also without Prefect; the report says whose rows went."""
    upgrade(empty_database_url)
    database = create_database(empty_database_url)
    owners = [OrganizationId(f"org-{uuid.uuid4().hex}") for _ in range(2)]
    for owner in owners:
        for _ in range(2):
            execution(database, owner)
    report = await prune(None, database, POLICY, NOW)
    assert {owner: pruned.executions for owner, pruned in report.organizations.items()} == dict.fromkeys(owners, 1)
    assert (report.rows.executions, report.flow_runs) == (2, None)
    assert [count_rows(database, owner)["workflow_execution"] for owner in owners] == [1, 1]
    database.close()
