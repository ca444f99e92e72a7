"""Retention and erasure on a real stack: what Prefect has of an organisation goes with its rows."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    FlowRunFilter,
    FlowRunFilterId,
    TaskRunFilter,
    TaskRunFilterFlowRunId,
)
from prefect.settings import PREFECT_API_URL, temporary_settings

from knowledge.ids import OrganizationId
from knowledge.retention import RetentionPolicy
from tables.organization_rows import count_rows
from tasks.retention import prune_history
from tests.running_stack import StackUnderTest
from tests.sample import TEXT

pytestmark = pytest.mark.stack


async def _history(client: PrefectClient, id_: UUID) -> tuple[int, int, int]:
    """How many flow runs, task runs and artifacts Prefect has of a flow run."""
    runs = await client.read_flow_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[id_])))
    mine = TaskRunFilter(flow_run_id=TaskRunFilterFlowRunId(any_=[id_]))
    theirs = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[id_]))
    return (
        len(runs),
        len(await client.read_task_runs(task_run_filter=mine)),
        len(await client.read_artifacts(artifact_filter=theirs)),
    )


def _extract(stack: StackUnderTest, organization: str) -> UUID:
    """The flow run of a document that was extracted for the organisation."""
    ran = stack.run(stack.write("brandt.txt", TEXT), organization=organization)
    assert ran.exit_code == 0, ran.stderr
    return UUID(ran.executions[0]["flow_run_id"])


async def test_prefects_history_goes_by_age_and_with_its_organisation(stack: StackUnderTest) -> None:
    """Nothing young goes; of an erased organisation neither has anything left, and others lose nothing."""
    leaving, staying = OrganizationId("leaving"), OrganizationId("staying")
    erased_run, kept_run = await asyncio.gather(
        *(asyncio.to_thread(_extract, stack, organization) for organization in (leaving, staying))
    )
    before = count_rows(stack.database, staying)
    api = {"PREFECT_API_URL": stack.running.api_url}
    ran = stack.command("prefect", "deployment", "run", "retention/default", "--watch", **api)
    assert ran.exit_code == 0, ran.stdout + ran.stderr
    with temporary_settings({PREFECT_API_URL: stack.running.api_url}):
        async with get_client() as client:
            kept = await _history(client, kept_run)
            assert min(*kept, *await _history(client, erased_run)) > 0
            done = stack.command("knowledge", "organization", "erase", leaving, "--yes", "--json")
            assert done.exit_code == 0, done.stderr
            assert json.loads(done.stdout)["flow_runs"] == 1
            assert await _history(client, erased_run) == (0, 0, 0)
            assert await _history(client, kept_run) == kept
            policy, now = RetentionPolicy(history=timedelta(days=90)), datetime.now(UTC)
            assert await prune_history(client, stack.database, policy, now) == 0
            assert await prune_history(client, stack.database, policy, now + timedelta(days=91), dry_run=True) > 1
            assert await _history(client, kept_run) == kept
    assert set(count_rows(stack.database, leaving).values()) == {0}
    assert count_rows(stack.database, staying) == before
