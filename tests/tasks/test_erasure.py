"""Erasing an organisation, with Prefect's API played by a few lines."""

import uuid
from typing import cast

import pytest
from prefect.client.orchestration import PrefectClient
from prefect.states import Running

from knowledge.domain import ExecutionStatus
from knowledge.errors import ErasureRefused
from knowledge.ids import OrganizationId
from tables.ledger import Ledger
from tables.organization_rows import count_rows
from tables.session import Database
from tasks.erasure import Eraser
from tests.organizations import execution, fill_organization
from tests.played_prefect import OTHER_DEPLOYMENT, Server


def eraser(server: Server, database: Database, organization_id: OrganizationId) -> Eraser:
    """Of this organisation, at this server."""
    return Eraser(cast(PrefectClient, server), database, organization_id)


async def test_no_table_has_a_row_of_an_erased_organisation_and_others_keep_theirs(
    database: Database, organization_id: OrganizationId
) -> None:
    """Every table that the schema has, from the catalogue: one that comes later is filled, erased and counted, too."""
    other = OrganizationId(f"other-{uuid.uuid4().hex}")
    for owner in (organization_id, other):
        fill_organization(database, owner)
        execution(database, owner)
    before, others = count_rows(database, organization_id), count_rows(database, other)
    assert min(before.values()) >= 1
    server = Server()
    mine = server.add(organization=organization_id)
    theirs, nobodys = server.add(organization=other), server.add(deployment=OTHER_DEPLOYMENT)
    erased = await eraser(server, database, organization_id).erase()
    assert set(count_rows(database, organization_id).values()) == {0}
    assert count_rows(database, other) == others
    assert {table for table, count in erased.rows.items() if count} == set(before)
    assert set(server.runs) == {theirs, nobodys}
    assert mine not in {each.flow_run_id for each in server.artifacts.values()}


async def test_an_organisation_with_unfinished_runs_is_refused_and_keeps_everything(
    database: Database, organization_id: OrganizationId
) -> None:
    """A run that goes on would write into what has been erased."""
    run, _ = execution(database, organization_id, ExecutionStatus.RUNNING)
    before = count_rows(database, organization_id)
    with pytest.raises(ErasureRefused, match=f"{run}.*--cancel-runs"):
        await eraser(Server(), database, organization_id).erase()
    assert count_rows(database, organization_id) == before


async def test_flow_runs_that_have_no_execution_yet_are_under_way_too(
    database: Database, organization_id: OrganizationId
) -> None:
    """Submitted and not begun, or a question that is being answered."""
    server = Server()
    server.add(Running(), organization=organization_id)
    with pytest.raises(ErasureRefused, match="flow run"):
        await eraser(server, database, organization_id).erase()


async def test_what_is_under_way_can_be_cancelled_first(database: Database, organization_id: OrganizationId) -> None:
    """Executions by a signal, as always, and what else there is through Prefect."""
    run, _ = execution(database, organization_id, ExecutionStatus.RUNNING)
    server = Server()
    server.add(Running(), organization=organization_id)
    mine = eraser(server, database, organization_id)
    await mine.cancel(patience_seconds=10)
    assert Ledger(database, organization_id).load(run).status is ExecutionStatus.CANCELLED
    await mine.erase()
    assert set(count_rows(database, organization_id).values()) == {0}


async def test_the_default_organisation_has_the_runs_that_name_none(database: Database) -> None:
    """A run started without the parameter is one of `default`."""
    server = Server()
    unnamed, named = server.add(), server.add(organization="acme")
    await eraser(server, database, OrganizationId("default")).erase()
    assert unnamed not in server.runs
    assert named in server.runs
