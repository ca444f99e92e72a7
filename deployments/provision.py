"""Provisioning a Prefect server: work pool, concurrency limit, blocks and deployments, as often as one likes.

What an operator changed on the server stays as the operator wants it.
"""

from datetime import timedelta
from importlib.resources import files
from pathlib import Path

import yaml
from prefect.blocks.core import Block
from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.actions import (
    DeploymentScheduleCreate,
    GlobalConcurrencyLimitCreate,
    WorkPoolCreate,
)
from prefect.client.schemas.objects import ConcurrencyOptions, DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.flows import load_flow_from_entrypoint
from prefect.utilities.callables import parameter_schema
from prefect.workers.process import ProcessWorker
from prefect_sqlalchemy import SqlAlchemyConnector
from pydantic import BaseModel, ConfigDict, Field

from deployments.database_urls import is_socket_url
from deployments.parts import ENGINE_COMMAND, WORK_POOL, DatabaseRule
from tasks.permits import EMBEDDING_LIMIT
from tasks.results import RESULTS_BLOCK, ResultStorage

EMBEDDING_SLOTS = 5
DATABASE_BLOCK = "knowledge-database"
# `knowledge up` has a part of its own for what these schedules would start.
_SCHEDULED_BY_THE_STACK = ("flows.recovery.recovery",)


class _Model(BaseModel):
    # A key of the file that we do not carry over must not vanish silently.
    model_config = ConfigDict(frozen=True, extra="forbid")


class ConcurrencyLimitEntry(_Model):
    """`concurrency_limit` of a deployment."""

    limit: int = Field(ge=1)
    collision_strategy: str = "ENQUEUE"


class WorkPoolEntry(_Model):
    """`work_pool` of a deployment."""

    name: str
    job_variables: dict[str, object] = {}


class ScheduleEntry(_Model):
    """One of the `schedules` of a deployment."""

    interval: int = Field(ge=1, description="seconds")
    slug: str
    active: bool = True


class DeploymentEntry(_Model):
    """A deployment in prefect.yaml; the keys that we use."""

    name: str
    version: str
    entrypoint: str
    work_pool: WorkPoolEntry
    description: str | None = None
    tags: tuple[str, ...] = ()
    parameters: dict[str, object] = {}
    concurrency_limit: ConcurrencyLimitEntry | None = None
    schedules: tuple[ScheduleEntry, ...] = ()


class PrefectFile(_Model):
    """prefect.yaml."""

    name: str
    pull: tuple[dict[str, object], ...]
    deployments: tuple[DeploymentEntry, ...]


def read_prefect_file() -> PrefectFile:
    """prefect.yaml as it was packaged, or as it lies at the project's root."""
    packaged = files("deployments") / "prefect.yaml"
    source = packaged if packaged.is_file() else Path(__file__).parents[1] / "prefect.yaml"
    return PrefectFile.model_validate(yaml.safe_load(source.read_text(encoding="utf-8")))


def import_flows() -> None:
    """Import the modules of all flows, which takes seconds: `provision` will find it done."""
    for entry in read_prefect_file().deployments:
        load_flow_from_entrypoint(entry.entrypoint, use_placeholder_flow=False)


async def provision(client: PrefectClient, *, database_url: str, rule: DatabaseRule) -> None:
    """Make sure that the server has all that runs need. `database_url` is where the stack has our tables."""
    await ensure_work_pool(client)
    await ensure_embedding_limit(client)
    await ensure_database_block(client, database_url, rule)
    await ensure_results_block(client)
    file = read_prefect_file()
    for entry in file.deployments:
        await register_deployment(client, entry, file.pull)


async def ensure_work_pool(client: PrefectClient) -> None:
    """The work pool of type `process`, if the server has none of the name."""
    template = ProcessWorker.get_default_base_job_template()
    # Named explicitly, the command starts the flow at once; else a first process resolves a workspace for it.
    template["variables"]["properties"]["command"]["default"] = ENGINE_COMMAND
    pool = WorkPoolCreate(
        name=WORK_POOL,
        type="process",
        description="Runs knowledge extractions as processes next to the worker.",
        base_job_template=template,
    )
    try:
        await client.create_work_pool(pool)
    except ObjectAlreadyExists:
        return


async def ensure_embedding_limit(client: PrefectClient) -> None:
    """The global concurrency limit on embedding calls, if the server has none of the name."""
    try:
        await client.read_global_concurrency_limit_by_name(EMBEDDING_LIMIT)
    except ObjectNotFound:
        limit = GlobalConcurrencyLimitCreate(name=EMBEDDING_LIMIT, limit=EMBEDDING_SLOTS, active=True)
        await client.create_global_concurrency_limit(limit)


async def ensure_database_block(client: PrefectClient, database_url: str, rule: DatabaseRule) -> None:
    """The block through which flows reach our tables; a database that an operator entered there stays."""
    present = await _database_block_url(client)
    if present is not None and (present == database_url or not _gives_way(present, rule)):
        return
    block = SqlAlchemyConnector(connection_info=database_url)
    await _save(block, DATABASE_BLOCK, client)


def _gives_way(present: str, rule: DatabaseRule) -> bool:
    return rule is DatabaseRule.ANY or (rule is DatabaseRule.EMBEDDED and is_socket_url(present))


async def ensure_results_block(client: PrefectClient) -> None:
    """The block that keeps stage results, in whatever database the database block names."""
    connection = await SqlAlchemyConnector.aload(DATABASE_BLOCK, client=client)
    await _save(ResultStorage(connection=connection), RESULTS_BLOCK, client)


async def _database_block_url(client: PrefectClient) -> str | None:
    try:
        document = await client.read_block_document_by_name(
            DATABASE_BLOCK, SqlAlchemyConnector.get_block_type_slug(), include_secrets=True
        )
    except ObjectNotFound:
        return None
    return str(document.data.get("connection_info"))


async def _save(block: Block, name: str, client: PrefectClient) -> None:
    await block.asave(name, overwrite=True, client=client)


async def register_deployment(
    client: PrefectClient, entry: DeploymentEntry, pull: tuple[dict[str, object], ...]
) -> None:
    """The deployment as `prefect deploy` would register it; an existing one is brought up to date.

    Schedules of what needs parameters first, and of what the stack has a part for, are switched off. An operator's
    schedules and parameters are written back, because the server forgets those that it is not told again.
    """
    flow = load_flow_from_entrypoint(entry.entrypoint, use_placeholder_flow=False)
    present = await _find(client, f"{flow.name}/{entry.name}")
    limit = entry.concurrency_limit
    await client.create_deployment(
        flow_id=await client.create_flow_from_name(flow.name),
        name=entry.name,
        version=entry.version,
        entrypoint=entry.entrypoint,
        work_pool_name=entry.work_pool.name,
        job_variables=entry.work_pool.job_variables,
        parameters={**entry.parameters, **(present.parameters if present else {})},
        description=entry.description or flow.description,
        schedules=[_kept(each) for each in present.schedules]
        if present
        else [_first_schedule(entry, each) for each in entry.schedules],
        tags=list(entry.tags),
        concurrency_limit=limit.limit if limit else None,
        concurrency_options=_options(limit) if limit else None,
        parameter_openapi_schema=parameter_schema(flow).model_dump(exclude_unset=True),
        enforce_parameter_schema=True,
        pull_steps=list(pull),
    )


async def _find(client: PrefectClient, deployment: str) -> DeploymentResponse | None:
    try:
        return await client.read_deployment_by_name(deployment)
    except ObjectNotFound:
        return None


def _kept(present: DeploymentSchedule) -> DeploymentScheduleCreate:
    return DeploymentScheduleCreate(
        schedule=present.schedule, active=present.active, parameters=present.parameters, slug=present.slug
    )


def _first_schedule(entry: DeploymentEntry, schedule: ScheduleEntry) -> DeploymentScheduleCreate:
    interval = IntervalSchedule(interval=timedelta(seconds=schedule.interval))
    active = schedule.active and entry.entrypoint not in _SCHEDULED_BY_THE_STACK
    return DeploymentScheduleCreate(schedule=interval, slug=schedule.slug, active=active)


def _options(limit: ConcurrencyLimitEntry) -> ConcurrencyOptions:
    return ConcurrencyOptions.model_validate({"collision_strategy": limit.collision_strategy})
