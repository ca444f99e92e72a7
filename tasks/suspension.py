"""Suspending a flow run: it keeps neither process nor slot until somebody resumes it, in the UI or by a signal."""

from uuid import UUID, uuid4

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import State
from prefect.client.schemas.responses import SetStateStatus
from prefect.states import Suspended

from knowledge.errors import ConfigurationError, ExecutionCancelled
from knowledge.ids import FlowRunId


def suspension(purpose: str, message: str) -> State:
    """A suspended state, to be set with `suspend`; `message` is what people read."""
    return Suspended(pause_key=f"{purpose}-{uuid4().hex}", message=message)


async def suspend(client: PrefectClient, flow_run_id: FlowRunId, asked: State) -> State:
    """The flow run's state, now that it is suspended. Its process must end with `Pause(state=…)`.

    Raises:
        ExecutionCancelled: a user has cancelled the run meanwhile.
        ConfigurationError: the flow run is of no deployment, so nobody would start it again.
    """
    run_id = UUID(flow_run_id)
    result = await client.set_flow_run_state(run_id, asked)
    if result.status is SetStateStatus.REJECT:
        run = await client.read_flow_run(run_id)
        if run.state is not None and (run.state.is_cancelling() or run.state.is_cancelled()):
            raise ExecutionCancelled("cancelled in Prefect")
        # A late report that an earlier process of this run has crashed may have overwritten its state.
        result = await client.set_flow_run_state(run_id, asked, force=True)
    if result.status is not SetStateStatus.ACCEPT or result.state is None:
        raise ConfigurationError(
            "a run that may have to be held must be a run of a deployment, such as extraction/default: "
            "otherwise nobody would go on with it afterwards"
        )
    return result.state
