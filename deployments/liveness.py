"""Whether a process works on an execution: the one place that decides it."""

import socket

from deployments.processes import ProcessIdentity
from knowledge.domain import WorkflowExecutionState


def is_running(state: WorkflowExecutionState) -> bool:
    """Whether the process that the execution's row names is alive; one of another machine is taken to be."""
    if state.pid is None:
        return False
    return state.host != socket.gethostname() or ProcessIdentity.of(state.pid) is not None
