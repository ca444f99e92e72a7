"""Flow processes that start at once: forked from a process that has imported what every run needs.

A process that Prefect's worker starts imports Prefect, our packages and the model clients: seconds of processor time
for each run, more than reading a short document takes. Here a fork server, which runs no flow itself, imports them
once. What is forked from it shares that memory until it writes to it.

Private parts of Prefect are used as its own process worker uses them: in the release that they are known of
(`deployments.prefect_version`).
"""

import logging
import math
import multiprocessing
import os
import tempfile
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from multiprocessing.context import ForkServerContext
from typing import Any, Self
from uuid import UUID

import anyio
import anyio.abc
import httpx
from anyio.to_thread import run_sync
from prefect.client.schemas.objects import FlowRun
from prefect.client.schemas.responses import DeploymentResponse, WorkerFlowRunResponse
from prefect.flows import load_flow_from_flow_run
from prefect.runner._control_channel import ControlChannel
from prefect.runner._flow_run_executor import FlowRunExecutionResult, FlowRunExecutorContext
from prefect.runner._process_manager import ProcessHandle
from prefect.states import Pending
from prefect.workers.process import ProcessJobConfiguration, ProcessWorker, ProcessWorkerResult

from deployments.definitions import remember_definitions
from deployments.flow_process import FLOW_RUN_VARIABLE, Order
from deployments.parts import ENGINE_COMMAND
from deployments.process_pool import Attempt, ProcessPool

_PRELOADED = "deployments.flow_preload"
# A worker that does not look for a minute counts as away, and its deployments as not ready.
_LOOKS_ANYWAY_SECONDS = 15.0
_MOST_RUNS = 200
"""What Prefect's server says at most in one answer."""
_logger = logging.getLogger(__name__)


def fork_server() -> ForkServerContext | None:
    """The context whose processes are forked from one that has imported everything; None where nothing can be."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return None
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([_PRELOADED])
    return context


class ForkingStarter:
    """Has one run run by a process, and lasts as long as that."""

    def __init__(
        self,
        pool: ProcessPool,
        channel: ControlChannel,
        environment: dict[str, str],
        directory: str,
        deployment: DeploymentResponse | None = None,
    ) -> None:
        self._pool = pool
        self._channel = channel
        self._environment = environment
        self._directory = directory
        self._deployment = deployment

    async def start(
        self,
        flow_run: FlowRun,
        task_status: anyio.abc.TaskStatus[ProcessHandle] = anyio.TASK_STATUS_IGNORED,
    ) -> None:
        """What Prefect's executor expects of a starter: says the handle at once, returns at the process's end."""
        port, token = self._channel.register(flow_run.id)
        own = {
            FLOW_RUN_VARIABLE: str(flow_run.id),
            "PREFECT__ENABLE_CANCELLATION_AND_CRASHED_HOOKS": "false",
            "PREFECT__CONTROL_PORT": str(port),
            "PREFECT__CONTROL_TOKEN": token,
        }
        is_retuned = _prefect_settings(self._environment) != _prefect_settings({**os.environ, **_worker_settings()})
        # The worker has had its state set.
        pending = Pending()
        known = flow_run.model_copy(
            update={"state": pending, "state_type": pending.type, "state_name": pending.name, "state_id": None}
        )
        order = Order(
            {**self._environment, **own},
            self._directory,
            known.model_dump_json().encode(),
            b"" if self._deployment is None else self._deployment.model_dump_json().encode(),
        )

        def tell(attempt: Attempt) -> None:
            process: Any = attempt
            task_status.started(ProcessHandle(process, attempt))

        await self._pool.run(order, is_retuned, tell)


class SharedExecutors:
    """Prefect's executors of runs, which share a client, a control channel and a watch for cancellations.

    A watch that has lost the server's events only polls from then on, and ends when it is refused too often: runs
    that begin later get a new one.
    """

    def __init__(
        self,
        group: anyio.abc.TaskGroup,
        opened: Callable[[], AbstractAsyncContextManager[FlowRunExecutorContext]] = FlowRunExecutorContext,
    ) -> None:
        self._group = group
        self._opened = opened
        self._lock = anyio.Lock()
        self._current: _Lent | None = None

    @asynccontextmanager
    async def lend(self) -> AsyncGenerator[FlowRunExecutorContext]:
        """The context that makes executors, while the block lasts."""
        async with self._lock:
            lent = self._current
            if lent is None or lent.is_worn:
                self._give_up(lent)
                opened: _Lent = await self._group.start(self._keep)
                lent = self._current = opened
            lent.users += 1
        try:
            yield lent.context
        finally:
            lent.users -= 1
            if lent is not self._current:
                self._give_up(lent)

    def _give_up(self, lent: "_Lent | None") -> None:
        if lent is not None and not lent.users:
            lent.is_over.set()

    async def _keep(self, *, task_status: "anyio.abc.TaskStatus[_Lent]") -> None:
        lent: _Lent | None = None
        try:
            async with self._opened() as context:
                lent = _Lent(context)
                task_status.started(lent)
                await lent.is_over.wait()
        except Exception:
            if lent is None:
                raise
            # It has taken its runs with it, and they are taken up again; the worker goes on.
            _logger.exception("the worker lost its connection to Prefect's runs")
        finally:
            if lent is self._current:
                self._current = None


class _Lent:
    def __init__(self, context: FlowRunExecutorContext) -> None:
        self.context = context
        self.users = 0
        self.is_over = anyio.Event()

    @property
    def is_worn(self) -> bool:
        """Whether its watch polls."""
        return self.context._observer._polling_task is not None  # pyright: ignore[reportPrivateUsage]


@cache
def _worker_settings() -> dict[str, str]:
    return ProcessJobConfiguration._base_environment()  # pyright: ignore[reportPrivateUsage]


def _prefect_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Prefect's settings; names with two underscores are of a run."""
    return {
        name: value
        for name, value in environment.items()
        if name.startswith("PREFECT_") and not name.startswith("PREFECT__")
    }


class ForkedJob(ProcessJobConfiguration):
    """Prefect's configuration of a process. Its own settings, which do not change, are worked out once."""

    @classmethod
    def _base_environment(cls) -> dict[str, str]:
        return dict(_worker_settings())


class ForkingWorker(ProcessWorker):
    """Prefect's process worker with forked flow processes; a deployment's own command is run as it would.

    It looks for runs when it can take one, for no more than it can take, and at once when one has ended. Of the run
    it tells the server less: neither its own labels, which the ledger's host and process say better, nor that it is
    submitting what is pending, nor the process's number, which the process tells with what else it has to.
    """

    job_configuration = ForkedJob

    async def __aenter__(self) -> Self:
        self._keepers = await anyio.create_task_group().__aenter__()
        self._executors = SharedExecutors(self._keepers)
        self._looked_at = -math.inf
        context = fork_server()
        self._pool = None if context is None else ProcessPool(context)
        await super().__aenter__()
        return self

    async def setup(self) -> None:
        """As Prefect's; what runs are made of is remembered for some seconds."""
        await super().setup()
        remember_definitions(self.client)
        self._leave_numbers_to_processes()

    def _leave_numbers_to_processes(self) -> None:
        self._introduced: set[UUID] = set()
        update = self.client.update_flow_run

        async def update_unless_introduced(flow_run_id: UUID, **changes: Any) -> Any:
            if changes.keys() != {"infrastructure_pid"} or flow_run_id not in self._introduced:
                return await update(flow_run_id, **changes)
            return None

        changeable: Any = self.client
        changeable.update_flow_run = update_unless_introduced

    @contextmanager
    def _introducing_itself(self, flow_run_id: UUID) -> Generator[None]:
        self._introduced.add(flow_run_id)
        try:
            yield
        finally:
            self._introduced.discard(flow_run_id)

    async def get_and_submit_flow_runs(self) -> list[FlowRun]:
        """Start the runs that are due, if there is room for one."""
        if self._pool is not None:
            self._pool.retire_idle()
        if not self._room and anyio.current_time() - self._looked_at < _LOOKS_ANYWAY_SECONDS:
            self._last_polled_time = datetime.now(UTC)
            return []
        self._looked_at = anyio.current_time()
        return await super().get_and_submit_flow_runs()

    @property
    def _room(self) -> int:
        return _MOST_RUNS if self._limiter is None else int(self._limiter.available_tokens)

    async def _get_scheduled_flow_runs(self) -> list[WorkerFlowRunResponse]:
        # Those that are being submitted may still be scheduled.
        wanted = min(_MOST_RUNS, max(1, self._room) + len(self._submitting_flow_run_ids))
        due = datetime.now(UTC) + timedelta(seconds=int(self._prefetch_seconds))
        body = {"work_queue_names": sorted(self._work_queues), "scheduled_before": due.isoformat(), "limit": wanted}
        path = "/work_pools/{name}/get_scheduled_flow_runs"
        try:
            response = await self.client.request("POST", path, path_params={"name": self._work_pool_name}, json=body)
        except httpx.HTTPStatusError as error:
            if error.response.status_code == 404:
                return []
            raise
        return WorkerFlowRunResponse.model_validate_list(response.json())

    def _release_limit_slot(self, flow_run_id: UUID) -> None:
        super()._release_limit_slot(flow_run_id)
        self._keepers.start_soon(self._look_again)

    async def _look_again(self) -> None:
        try:
            await self.get_and_submit_flow_runs()
        except httpx.HTTPError as error:
            # It looks every second anyway, and notices there that the server is away.
            _logger.debug("looked in vain for another run: %s", error)

    async def _give_worker_labels_to_flow_run(self, flow_run_id: UUID) -> None: ...

    async def _propose_submitting_state(self, flow_run: FlowRun) -> None: ...

    async def __aexit__(self, *exc_info: Any) -> None:
        try:
            # The worker waits for its runs there.
            await super().__aexit__(*exc_info)
        finally:
            if self._pool is not None:
                self._pool.retire_idle(0.0)
            self._keepers.cancel_scope.cancel()
            await self._keepers.__aexit__(*exc_info)

    async def run(
        self,
        flow_run: FlowRun,
        configuration: ProcessJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> ProcessWorkerResult:
        """Have a process run it, and wait for the end."""
        is_special = configuration.command != ENGINE_COMMAND or configuration.working_dir is not None
        if self._pool is None or is_special:
            return await super().run(flow_run, configuration, task_status)
        status = task_status or anyio.TASK_STATUS_IGNORED
        environment = {name: value for name, value in configuration.env.items() if value is not None}
        deployment = None
        if flow_run.deployment_id is not None:
            deployment = await self.client.read_deployment(flow_run.deployment_id)
        with tempfile.TemporaryDirectory(suffix="prefect") as directory, self._introducing_itself(flow_run.id):
            async with self._executors.lend() as executors:
                starter = ForkingStarter(self._pool, executors.control_channel, environment, directory, deployment)
                executor = executors.create_executor(
                    flow_run, starter, resolve_flow=load_flow_from_flow_run, propose_submitting=False
                )
                execution: FlowRunExecutionResult | None = None

                async def execute(*, task_status: anyio.abc.TaskStatus[ProcessHandle]) -> None:
                    nonlocal execution
                    execution = await executor.submit(task_status=task_status)

                async with anyio.create_task_group() as group:
                    handle = await group.start(execute)
                    status.started(handle.pid or 0)
        if execution is None or execution.status_code is None:
            raise RuntimeError("the flow process was not started")
        return ProcessWorkerResult(status_code=execution.status_code, identifier=str(execution.handle.pid))


async def warm_up() -> None:
    """Have the fork server import while nothing waits for it yet."""
    if fork_server() is not None:
        from multiprocessing import forkserver

        await run_sync(forkserver.ensure_running)
