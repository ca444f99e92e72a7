"""The stack's worker: provisions its server, then runs what the work pool `knowledge` is asked for.

`python -m deployments.worker`. It imports while the server still starts, waits for it, and says through the
descriptor it was given when it polls.
"""

import asyncio
import os
import signal
from contextlib import suppress

from prefect.client.orchestration import PrefectClient, get_client
from prefect.settings import get_current_settings
from prefect.workers.process import ProcessWorker

from deployments.parts import DATABASE_RULE_VARIABLE, DATABASE_URL_VARIABLE, READY_VARIABLE, WORK_POOL, DatabaseRule
from deployments.prefect_version import may_be_shortened
from deployments.provision import import_flows, provision
from knowledge.settings import Settings, WorkerSettings

_POLL_SECONDS = 0.1
_LEAST_FLOW_PROCESSES = 4
_FLOW_PROCESSES_PER_CORE = 2


async def serve(settings: WorkerSettings) -> None:
    """Work until cancelled."""
    readiness = _Readiness(os.environ.pop(READY_VARIABLE, None))
    database_url, rule = os.environ[DATABASE_URL_VARIABLE], DatabaseRule(os.environ[DATABASE_RULE_VARIABLE])
    worker_class = await _worker_class()
    import_flows()
    async with get_client() as client:
        await _wait_for_server(client)
        await provision(client, database_url=database_url, rule=rule)
    worker = worker_class(
        work_pool_name=WORK_POOL,
        name=settings.name,
        create_pool_if_not_found=False,
        limit=settings.runs_at_once or flow_processes(os.cpu_count() or 1),
        prefetch_seconds=get_current_settings().worker.prefetch_seconds,
        heartbeat_interval_seconds=int(get_current_settings().worker.heartbeat_seconds),
    )
    await worker.start(printer=readiness.announce)


async def _worker_class() -> type[ProcessWorker]:
    if not may_be_shortened():
        return ProcessWorker
    from deployments.flow_processes import ForkingWorker, warm_up

    await warm_up()
    return ForkingWorker


def flow_processes(cores: int) -> int:
    """How many runs at once. The others wait in the queue: each is a process of a few hundred megabytes."""
    return max(_LEAST_FLOW_PROCESSES, _FLOW_PROCESSES_PER_CORE * cores)


class _Readiness:
    """Passes the worker's messages on; the first one says that it has started."""

    def __init__(self, descriptor: str | None) -> None:
        self._descriptor = None if descriptor is None else int(descriptor)

    def announce(self, message: str) -> None:
        print(message)
        if self._descriptor is not None:
            os.write(self._descriptor, b"ready")
            os.close(self._descriptor)
            self._descriptor = None


async def _wait_for_server(client: PrefectClient) -> None:
    while await client.api_healthcheck() is not None:  # noqa: ASYNC110 -- the server is another process
        await asyncio.sleep(_POLL_SECONDS)


async def _serve_until_told() -> None:
    work = asyncio.current_task()
    assert work is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    with suppress(asyncio.CancelledError):
        await serve(Settings().worker)


if __name__ == "__main__":
    asyncio.run(_serve_until_told())
