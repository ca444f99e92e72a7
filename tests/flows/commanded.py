"""`knowledge run` in the background, and what Prefect says of its runs."""

import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import State

from deployments.signalling import Sent, send_signal
from knowledge.domain import Stage, WorkflowExecutionState
from knowledge.ids import OrganizationId
from knowledge.settings import Settings
from tables.graph_store import latest_extractions
from tables.ledger import Ledger
from tables.signals import Signals
from tests.running_stack import BIN, Ran, StackUnderTest

_PATIENCE_SECONDS = 150


def until(holds: Callable[[], bool]) -> None:
    """Returns when it holds; fails when it takes minutes."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@dataclass
class Commanded:
    """`knowledge run` going on in the background, for an organisation of its own."""

    stack: StackUnderTest
    organization_id: OrganizationId
    process: "subprocess.Popen[str]"

    @classmethod
    @contextmanager
    def running(
        cls, stack: StackUnderTest, organization: str, *arguments: str, **documents: str
    ) -> Generator["Commanded"]:
        """The command for these documents, given by name and text; ended with the block if it is not over."""
        files = [str(stack.write(f"{name}.txt", text)) for name, text in documents.items()]
        options = ("--ontology", str(stack.ontology), "--organization", organization, "--json", *arguments)
        process = subprocess.Popen(
            [str(BIN / "knowledge"), "run", *files, *options],
            cwd=stack.home,
            env=stack.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield cls(stack, OrganizationId(organization), process)
        finally:
            process.kill()
            process.communicate()

    def finish(self) -> Ran:
        """The command at its end."""
        stdout, stderr = self.process.communicate(timeout=_PATIENCE_SECONDS)
        return Ran(self.process.returncode, stdout, stderr)

    @property
    def executions(self) -> dict[str, WorkflowExecutionState]:
        """How the executions stand, by document."""
        return {state.document_name: state for state in self._ledger.list_executions()}

    def completed(self, execution: WorkflowExecutionState, stage: Stage) -> int:
        """How many items of the stage it has completed."""
        progress = self._ledger.load_progress(execution.id)
        return next((step.completed for step in progress if step.stage is stage), 0)

    def signal(self, execution: WorkflowExecutionState, name: str, payload: str = "{}") -> Sent:
        """What `knowledge signal` does."""
        settings = Settings(home=self.stack.home / "state")
        return send_signal(settings, self.organization_id, execution.id, name, payload)

    @property
    def signals(self) -> Signals:
        """The organisation's signals."""
        return Signals(self.stack.database, self.organization_id)

    @property
    def published(self) -> set[str]:
        """The documents that have a published graph."""
        names = {state.id: name for name, state in self.executions.items()}
        return {names[latest.execution_id] for latest in latest_extractions(self.stack.database, self.organization_id)}

    @property
    def _ledger(self) -> Ledger:
        return Ledger(self.stack.database, self.organization_id)


async def prefect_state(client: PrefectClient, execution: WorkflowExecutionState) -> State:
    """The state of its flow run."""
    run = await client.read_flow_run(UUID(execution.flow_run_id))
    assert run.state is not None
    return run.state


async def final_state(client: PrefectClient, execution: WorkflowExecutionState) -> State:
    """The state of its flow run, once that is over."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not (state := await prefect_state(client, execution)).is_final():
        assert time.monotonic() < deadline, "waited in vain"
    return state
