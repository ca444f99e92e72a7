"""What flow runs are made of and rest on, remembered for a few seconds.

For each run Prefect's worker reads its deployment twice and its flow once, and its process the block that keeps
results and the limit on embeddings; a batch has hundreds of runs of one deployment.
"""

import copy
import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.responses import DeploymentResponse

Read = TypeVar("Read")
REMEMBERED_SECONDS = 5.0
"""How late a worker may notice that a deployment was changed."""
SERVICES_REMEMBERED_SECONDS = 30.0
"""How late a process that runs one flow after another may notice that a block or a limit was changed or deleted.

Its server holds to the limit meanwhile, as it then is; only how many slots are asked for at once is as it was.
"""
_Known = dict[str, tuple[float, Any]]
_of_process: _Known = {}


def remember_definitions(client: PrefectClient) -> None:
    """Have this client answer from memory when it is asked for a deployment or a flow that it has read just now."""
    read_deployment = _remembered(client.read_deployment)

    async def read_own_deployment(deployment_id: UUID | str) -> DeploymentResponse:
        # Who merges variables of a run into those of its deployment does so in place.
        read = await read_deployment(deployment_id)
        return read.model_copy(update={"job_variables": copy.deepcopy(read.job_variables)})

    changeable: Any = client
    changeable.read_deployment = read_own_deployment
    changeable.read_flow = _remembered(client.read_flow)


def remember_services(client: PrefectClient) -> None:
    """Have this client answer from its process's memory when it is asked for a block or a limit by its name."""
    changeable: Any = client
    for name in ("read_block_document_by_name", "read_global_concurrency_limit_by_name"):
        read = _remembered(getattr(client, name), seconds=SERVICES_REMEMBERED_SECONDS, known=_of_process)
        setattr(changeable, name, _copied(read))


def _copied(read: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def read_own(*arguments: Any, **options: Any) -> Any:
        # Who makes a block of it may take it apart.
        return (await read(*arguments, **options)).model_copy(deep=True)

    return read_own


def _remembered(
    read: Callable[..., Awaitable[Read]],
    monotonic: Callable[[], float] = time.monotonic,
    *,
    seconds: float = REMEMBERED_SECONDS,
    known: _Known | None = None,
) -> Callable[..., Awaitable[Read]]:
    memory: _Known = {} if known is None else known

    async def read_or_remember(*arguments: Any, **options: Any) -> Read:
        key = f"{getattr(read, '__name__', '')} {[str(each) for each in arguments]} {options}"
        found = memory.get(key)
        if found is not None and monotonic() - found[0] < seconds:
            return found[1]
        began = monotonic()
        value = await read(*arguments, **options)
        memory[key] = (began, value)
        return value

    return read_or_remember
