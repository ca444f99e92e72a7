"""What `python -m prefect.engine` does, with fewer requests, threads and connections.

Prefect's engine runs the flow run. Around it, each process would read the flow run that its worker has just read, the
deployment twice, and flow, work queue and work pool for its events; ask three times where results are kept that nobody
keeps; and learn of a suspension through a thread with an event loop and a web socket of its own.
"""

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable, Generator
from functools import cache, lru_cache
from typing import Any
from uuid import UUID

import httpx
import prefect.flow_engine
import prefect.flows
from prefect._flow_run_suspension import (
    FlowRunSuspensionRequest,
    is_suspended_flow_run_state,
    observe_flow_run_suspension,
)
from prefect._internal.control_listener import configure_from_env
from prefect._internal.metrics import RunMetrics  # pyright: ignore[reportUnknownVariableType]
from prefect._internal.pydantic.validated_func import ValidatedFunction
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.objects import Flow as RegisteredFlow
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse
from prefect.context import AsyncClientContext
from prefect.engine import _drive_run_flow_result, handle_engine_signals  # pyright: ignore[reportPrivateUsage]
from prefect.events.related import RESOURCE_CACHE
from prefect.exceptions import PrefectHTTPStatusError
from prefect.flow_engine import run_flow
from prefect.flows import Flow, load_flow_from_entrypoint, load_flow_from_flow_run
from prefect.logging.loggers import flow_run_logger, get_logger
from prefect.settings import get_current_settings
from prefect.types._datetime import now
from pydantic import ConfigDict

from deployments.definitions import remember_services

# A run that somebody suspends in Prefect's UI begins nothing more within so many seconds.
_SUSPENSION_POLL_SECONDS = 5.0
# Flows have their organisation as a parameter of this name; runs are found by it as a tag.
_ORGANIZATION = "organization"
AnyFlow = Flow[..., Any]
_logger = get_logger("flow_runs")


def run(flow_run_id: UUID, flow_run: bytes = b"", deployment: bytes = b"") -> None:
    """Runs the flow run, and exits as Prefect's engine does. What is known of it, as JSON, is not read again.

    Raises:
        SystemExit: the run was aborted, suspended or told to terminate, or it failed.
    """
    configure_from_env()
    # Prefect's engine looks for it there.
    engine: Any = prefect.flow_engine
    engine.observe_flow_run_suspension = observe_suspension
    remember_validators()
    with handle_engine_signals(flow_run_id):
        left = asyncio.run(_run(flow_run_id, flow_run, deployment))
        if left is not None:
            with RunMetrics(*left):
                _drive_run_flow_result(left[1], _begin(*left))


@cache
def remember_validators() -> None:
    """Have the parameters of a flow's runs validated by one model; Prefect makes it anew for each run."""
    flows: Any = prefect.flows
    flows.ValidatedFunction = _validator


@lru_cache(maxsize=16)
def _made_validator(function: Callable[..., Any], config: tuple[tuple[str, Any], ...]) -> ValidatedFunction:
    return ValidatedFunction(function, config=ConfigDict(**dict(config)))


def _validator(function: Callable[..., Any], config: ConfigDict | None = None) -> ValidatedFunction:
    return _made_validator(function, tuple((config or {}).items()))


async def _run(flow_run_id: UUID, told: bytes, deployment: bytes) -> tuple[FlowRun, AnyFlow] | None:
    """Runs an asynchronous flow, with one client for all; any other is left to who calls."""
    async with AsyncClientContext.get_or_create() as context:
        client = context.client
        remember_services(client)
        # The engine reads it once more, when it has begun.
        flow_run = FlowRun.model_validate_json(told) if told else await client.read_flow_run(flow_run_id)
        try:
            flow = await _load(client, flow_run, deployment)
        except Exception:
            flow_run_logger(flow_run).error("the flow could not be loaded", exc_info=True)
            raise
        if not flow.isasync or flow.isgenerator:
            await client.update_flow_run(flow_run.id, infrastructure_pid=str(os.getpid()))
            return flow_run, flow
        _introduce(client, flow_run)
        with RunMetrics(flow_run, flow):
            await _begin(flow_run, flow)
    return None


def _begin(flow_run: FlowRun, flow: AnyFlow) -> Any:
    logger: Any = flow_run_logger(flow_run)
    return run_flow(flow, flow_run=flow_run, error_logger=logger)


def _introduce(client: PrefectClient, flow_run: FlowRun) -> None:
    """Has the one change that the engine makes to each run, before it begins, also say what else is to be said.

    That is its process, which its worker would say in a request of its own, and its organisation's tag.
    """
    organization = flow_run.parameters.get(_ORGANIZATION)
    changes: dict[str, Any] = {"infrastructure_pid": str(os.getpid())}
    if isinstance(organization, str) and organization not in flow_run.tags:
        changes["tags"] = sorted({*flow_run.tags, organization})
    update: Any = client.update_flow_run

    async def introduce(**own: Any) -> httpx.Response:
        changeable.update_flow_run = update
        return await update(**own, **changes)

    changeable: Any = client
    changeable.update_flow_run = introduce


async def _load(client: PrefectClient, flow_run: FlowRun, told: bytes) -> AnyFlow:
    if flow_run.deployment_id is None:
        raise ValueError(f"flow run {flow_run.id} has no deployment")
    deployment = (
        DeploymentResponse.model_validate_json(told) if told else await client.read_deployment(flow_run.deployment_id)
    )
    entrypoint = deployment.entrypoint
    if entrypoint is None or ":" in entrypoint or deployment.pull_steps:
        flow: Any = await load_flow_from_flow_run(flow_run, use_placeholder_flow=False)
    else:
        flow = load_flow_from_entrypoint(entrypoint, use_placeholder_flow=False)
    if flow.persist_result is False and flow.result_storage is None:
        # Prefect would ask its server for the place, to keep the exception of a run that failed.
        flow.result_storage = get_current_settings().results.local_storage_path
    _relate(flow_run, flow, deployment)
    return flow


def _relate(flow_run: FlowRun, flow: AnyFlow, deployment: DeploymentResponse) -> None:
    """Has the process's events name its flow and deployment without asking for them, and neither queue nor pool.

    Each thing that an event names is a row of Prefect's database: a run's state changes name queue and pool, and those
    of its task runs need not repeat it.
    """
    _remember("flow", flow_run.flow_id, RegisteredFlow(id=flow_run.flow_id, name=flow.name, labels={}))
    _remember("deployment", flow_run.deployment_id, deployment)
    _remember("work-queue", flow_run.work_queue_id, None)
    _remember("work-pool", flow_run.work_pool_name, None)


def _remember(kind: str, key: UUID | str | None, related: RegisteredFlow | DeploymentResponse | None) -> None:
    # What a moment is depends on Python's version: Prefect's own class, or the standard library's.
    remembered: Any = RESOURCE_CACHE
    remembered[f"{kind}.{key}"] = ({"kind": kind, "object": related}, now("UTC"))


@contextlib.contextmanager
def observe_suspension(
    flow_run_id: UUID,
    suspension_request: FlowRunSuspensionRequest,
    polling_interval: float = _SUSPENSION_POLL_SECONDS,
    sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> Generator[None]:
    """Marks the request when somebody suspends the run while the block lasts; asks every `polling_interval` seconds.

    A run that is resumed before this has noticed goes on where it is: its next process finds the fence taken.
    Without a running event loop it is observed as Prefect does.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        with observe_flow_run_suspension(flow_run_id, suspension_request):
            yield
        return
    watch = loop.create_task(_watch(flow_run_id, suspension_request, polling_interval, sleep))
    try:
        yield
    finally:
        watch.cancel()


async def _watch(
    flow_run_id: UUID,
    suspension_request: FlowRunSuspensionRequest,
    polling_interval: float,
    sleep: Callable[[float], Awaitable[object]],
) -> None:
    async with get_client() as client:
        while not suspension_request.is_requested():
            await sleep(polling_interval)
            # Prefect's API may be away: it is asked again.
            with contextlib.suppress(httpx.HTTPError, PrefectHTTPStatusError):
                state = (await client.read_flow_run(flow_run_id)).state
                if state is not None and is_suspended_flow_run_state(state):
                    _logger.info("is suspended: nothing more is begun", extra={"flow_run_id": str(flow_run_id)})
                    suspension_request.mark_requested(state)
