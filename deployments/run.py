"""`knowledge run`: from files to finished graphs, on the stack that runs or on one started for it."""

import asyncio
from collections.abc import Callable, Coroutine, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.delivery import Delivered, deliver
from deployments.export_target import ExportDirectory
from deployments.home import StackHome
from deployments.stack import RunningStack, require_database_of, require_models_of, start_in_background, stop_stack
from deployments.state import read_state
from deployments.submission import RunRequest, Submitter
from deployments.watching import Watched, watch
from knowledge.errors import ExecutionFailed
from knowledge.settings import Settings
from tasks.results import RESULTS_BLOCK, ResultStorage

Result = TypeVar("Result")

_LOOK_SECONDS = 0.5
_INTERRUPTED_STACK_STAYS = (
    "interrupted: what was submitted goes on by itself in the stack, which keeps running (`knowledge status` shows it, "
    "`knowledge signal EXECUTION cancel` ends a run)"
)
_INTERRUPTED_STACK_STOPS = (
    "interrupted: what was submitted goes on by itself as soon as a stack runs here again (`knowledge up`)"
)


@dataclass(frozen=True, slots=True)
class RunReport:
    """A finished command: what became of each document, and where the UI shows it while the stack runs."""

    delivered: tuple[Delivered, ...]
    ui_url: str | None

    @property
    def succeeded(self) -> bool:
        """Whether every execution completed."""
        return all(item.export is not None for item in self.delivered)

    def as_json(self) -> dict[str, object]:
        """The last line of `--json`."""
        return {"executions": [item.as_json() for item in self.delivered]}


def run_documents(
    settings: Settings,
    request: RunRequest,
    out: str | None,
    *,
    keep: bool,
    tell: Callable[[str], None],
    show: Callable[[Sequence[Watched]], None],
) -> RunReport:
    """Submits, watches and delivers; a stack started for it is stopped again unless `keep`.

    `out` is a directory or `s3://bucket/prefix`, which is seen to before anything is paid for.

    Raises:
        InputRefused: `out` is a URL of something else.
        ConfigurationError: the stack does not start, or runs with other model settings; or `out` cannot be written to.
        ExecutionFailed: the stack was stopped, or stopped answering.
    """
    target = ExportDirectory.of(out or str(StackHome.of(settings).root / "exports" / request.organization))
    with stack_for(settings, keep, tell) as stack:
        tell(f"Prefect UI: {stack.ui_url}")
        with temporary_settings({PREFECT_API_URL: stack.api_url}):
            delivered = asyncio.run(while_stack_runs(settings, _run(settings, request, target, show)))
        stays = keep or not stack.started_here
        return RunReport(delivered, stack.ui_url if stays else None)


@contextmanager
def stack_for(settings: Settings, keep: bool, tell: Callable[[str], None]) -> Generator[RunningStack]:
    """The running stack, or one started for the block and stopped after it unless `keep`.

    Who interrupts the block is told what becomes of what was submitted in it.

    Raises:
        ConfigurationError: it does not start, or runs with other model settings or another database.
    """
    stack = start_in_background(settings, tell)
    try:
        require_models_of(stack, settings)
        require_database_of(stack, settings)
        yield stack
    except KeyboardInterrupt:
        tell(_INTERRUPTED_STACK_STAYS if keep or not stack.started_here else _INTERRUPTED_STACK_STOPS)
        raise
    finally:
        if stack.started_here and not keep:
            tell("stopping the stack that was started for this run")
            stop_stack(settings)


async def while_stack_runs(settings: Settings, work: Coroutine[Any, Any, Result]) -> Result:
    """What `work` returns; it is cancelled when the stack that it waits for is stopped.

    Raises:
        ExecutionFailed: the stack was stopped.
    """
    state_file = StackHome.of(settings).state_file
    task = asyncio.create_task(work)
    try:
        while not (await asyncio.wait({task}, timeout=_LOOK_SECONDS))[0]:
            if read_state(state_file).is_stopped:
                raise ExecutionFailed("the stack was stopped: `knowledge up` lets what was submitted go on")
        return task.result()
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _run(
    settings: Settings, request: RunRequest, out: ExportDirectory, show: Callable[[Sequence[Watched]], None]
) -> tuple[Delivered, ...]:
    async with get_client() as client:
        storage = await ResultStorage.aload(RESULTS_BLOCK, client=client)
        submitted = await Submitter(client, storage.database, settings).submit(request)
        watched = await watch(client, storage.database, submitted, show)
        return await asyncio.to_thread(deliver, storage.database, watched, out)
