"""The definitions that flow runs are made of, remembered for a few seconds.

For each run Prefect's worker reads its deployment twice and its flow once; a batch has hundreds of runs of one
deployment.
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


def _remembered(
    read: Callable[[Any], Awaitable[Read]], monotonic: Callable[[], float] = time.monotonic
) -> Callable[[Any], Awaitable[Read]]:
    known: dict[str, tuple[float, Read]] = {}

    async def read_or_remember(id_: UUID | str) -> Read:
        found = known.get(str(id_))
        if found is not None and monotonic() - found[0] < REMEMBERED_SECONDS:
            return found[1]
        began = monotonic()
        value = await read(id_)
        known[str(id_)] = (began, value)
        return value

    return read_or_remember
