"""Signals to runs that no process works on: held for review, waiting in the queue, or left by a dead process."""

import asyncio
from contextlib import suppress
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.responses import SetStateStatus
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled

from knowledge.domain import ExecutionStatus
from knowledge.ids import ExecutionId, FlowRunId
from knowledge.signals import Signal, cancellation, standing_of
from tables.signals import Signals


async def act_unattended(
    client: PrefectClient, signals: Signals, execution_id: ExecutionId, flow_run_id: FlowRunId
) -> str | None:
    """What was done for an unfinished execution because of its signals; None if there was nothing to do.

    Only for executions that no process works on. A `cancel` ends the execution, and then its flow run; a decision,
    or a `resume`, resumes a suspended flow run, whose next process acts on it. Doing it again, or from two places, is
    harmless.

    Raises:
        StoreUnavailable, httpx.HTTPError: the database or the Prefect API did not answer; try again.
    """
    standing = standing_of(await asyncio.to_thread(signals.history, execution_id))
    if standing.cancel is not None:
        reason = cancellation(standing.cancel)
        await asyncio.to_thread(signals.cancel, execution_id, reason)
        await end_cancelled(client, flow_run_id, reason)
        return "cancelled"
    if standing.decision is not None and await _resume(client, flow_run_id, standing.decision):
        return "the run goes on from its review"
    if standing.is_resumed and await is_suspended(client, flow_run_id):
        result = await client.resume_flow_run(UUID(flow_run_id))
        return "the run goes on" if result.status is SetStateStatus.ACCEPT else None
    return None


async def tend_suspended(
    client: PrefectClient, signals: Signals, execution_id: ExecutionId, flow_run_id: FlowRunId
) -> str | None:
    """As `act_unattended`, for a flow run that is suspended; if nothing is to be done, the execution says it waits.

    It mends what a process or command that died in the middle has left: a signal recorded and not followed, or a
    flow run suspended whose execution still says that it runs.
    """
    done = await act_unattended(client, signals, execution_id, flow_run_id)
    if done is None:
        await asyncio.to_thread(signals.show, execution_id, ExecutionStatus.WAITING)
    return done


async def end_cancelled(client: PrefectClient, flow_run_id: FlowRunId, reason: str) -> None:
    """Makes the flow run say Cancelled, whatever it says now; one that Prefect has forgotten has ended."""
    with suppress(ObjectNotFound):
        await client.set_flow_run_state(UUID(flow_run_id), Cancelled(message=reason), force=True)


async def is_suspended(client: PrefectClient, flow_run_id: FlowRunId) -> bool:
    """Whether the flow run waits, without a process, for people to decide."""
    try:
        run = await client.read_flow_run(UUID(flow_run_id))
    except ObjectNotFound:
        return False
    return run.state is not None and run.state.is_paused() and bool(run.state.state_details.pause_reschedule)


async def _resume(client: PrefectClient, flow_run_id: FlowRunId, decision: Signal) -> bool:
    """Whether this resumed the flow run: one that is not suspended is left alone."""
    answer = {"decision": decision.name.value, "comment": decision.reason}
    result = await client.resume_flow_run(UUID(flow_run_id), run_input=answer)
    return result.status is SetStateStatus.ACCEPT
