"""Prefect's history of our deployments: flow runs with their task runs, logs and artifacts, read and removed.

Everything goes through Prefect's API, so it works with whatever server there is. Our deployments are those tagged
`knowledge`: a server that others use, too, keeps what is theirs. Events are Prefect's own to remove, by age
(`PREFECT_SERVER_EVENTS_RETENTION_PERIOD`, seven days unless set).
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from datetime import datetime
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    DeploymentFilter,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import TERMINAL_STATES, FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound

from knowledge.ids import OrganizationId

DEPLOYMENT_TAG = "knowledge"
DEFAULT_ORGANIZATION = "default"
_PAGE = 200
_OURS = DeploymentFilter(tags=DeploymentFilterTags(all_=[DEPLOYMENT_TAG]))
_ORGANIZATION = "organization"


async def ended_runs(client: PrefectClient, before: datetime) -> AsyncIterator[list[FlowRun]]:
    """Pages of our flow runs that ended before a moment, all of them read before the first is given."""
    wanted = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=sorted(TERMINAL_STATES))),
        end_time=FlowRunFilterEndTime(before_=before),  # pyright: ignore[reportArgumentType]
    )
    for page in [page async for page in _pages(client, wanted)]:
        yield page


async def runs_of(client: PrefectClient, organization_id: OrganizationId) -> list[FlowRun]:
    """All our flow runs that were started for the organisation, whatever their tags say."""
    deployments = {each.id for each in await _deployments(client) if _has_organization(each)}
    return [
        run
        async for page in _pages(client, FlowRunFilter())
        for run in page
        if run.deployment_id in deployments
        and run.parameters.get(_ORGANIZATION, DEFAULT_ORGANIZATION) == organization_id
    ]


async def _deployments(client: PrefectClient) -> Sequence[DeploymentResponse]:
    return await client.read_deployments(deployment_filter=_OURS, limit=_PAGE)


def _has_organization(deployment: DeploymentResponse) -> bool:
    schema = deployment.parameter_openapi_schema or {}
    return _ORGANIZATION in (schema.get("properties") or {})


async def _pages(client: PrefectClient, wanted: FlowRunFilter) -> AsyncIterator[list[FlowRun]]:
    offset = 0
    while True:
        page = await client.read_flow_runs(
            flow_run_filter=wanted, deployment_filter=_OURS, sort=FlowRunSort.ID_DESC, limit=_PAGE, offset=offset
        )
        if page:
            yield page
        if len(page) < _PAGE:
            return
        offset += len(page)


async def remove_run(client: PrefectClient, flow_run_id: UUID) -> None:
    """Removes a flow run with its artifacts, task runs and logs. Doing it again, or from two places, is harmless.

    Artifacts go first: without their flow run nobody would find them again.

    Raises:
        httpx.HTTPError, PrefectHTTPStatusError: Prefect's API did not answer; try again.
    """
    mine = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run_id]))
    while artifacts := await client.read_artifacts(artifact_filter=mine, limit=_PAGE):
        for artifact in artifacts:
            with suppress(ObjectNotFound):
                await client.delete_artifact(artifact.id)
    with suppress(ObjectNotFound):
        await client.delete_flow_run(flow_run_id)
