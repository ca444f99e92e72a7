"""Runs set aside because a model endpoint does not answer: back to the queue, their worker's slot free."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import State
from prefect.states import AwaitingRetry, Scheduled

from knowledge.ids import ExecutionId, FlowRunId
from tables.ledger import Ledger

AWAITING_ENDPOINT = "AwaitingEndpoint"
"""The name that Prefect shows for the state of such a run."""
# Recovery wakes the run as soon as its endpoint answers; without recovery it wakes by itself after this.
_LATEST_SECONDS = 300.0
# The process that gives the run up, and the worker that minds it, need a moment to let go of it.
LETTING_GO_SECONDS = 5.0


async def set_aside(
    client: PrefectClient, ledger: Ledger, execution_id: ExecutionId, flow_run_id: FlowRunId, reason: str
) -> None:
    """The execution waits, and its flow run is scheduled again. The process must end with `Abort`."""
    await asyncio.to_thread(ledger.set_aside, execution_id, reason)
    later = datetime.now(UTC) + timedelta(seconds=_LATEST_SECONDS)
    state = Scheduled(name=AWAITING_ENDPOINT, scheduled_time=later, message=reason)
    await client.set_flow_run_state(UUID(flow_run_id), state, force=True)


def is_set_aside(state: State) -> bool:
    """Whether a flow run in this state waits for an endpoint, and may be woken."""
    return state.is_scheduled() and state.name == AWAITING_ENDPOINT


async def wake(client: PrefectClient, flow_run_id: FlowRunId, reason: str) -> None:
    """Has a process of the run started as soon as a worker has a slot."""
    await client.set_flow_run_state(UUID(flow_run_id), AwaitingRetry(message=reason), force=True)
