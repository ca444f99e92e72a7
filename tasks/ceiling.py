"""The spend ceiling of an execution: reached, the run is held with all that it has, until somebody raises it."""

import asyncio
from dataclasses import dataclass
from typing import NoReturn

from prefect.client.orchestration import get_client
from prefect.exceptions import Pause
from pydantic import BaseModel, ConfigDict, Field

from knowledge.domain import WorkflowExecutionState
from knowledge.errors import SignalRefused
from knowledge.ids import FlowRunId
from knowledge.settings import SpendSettings
from knowledge.signals import Signal, SignalName
from resilience.spending import SpendMeter, Spent
from tables.ledger import Ledger
from tables.signals import Signals
from tasks.suspension import suspend, suspension
from tasks.unattended import act_unattended

_RAISED = "raised the spend ceiling by as much again"
_SENT_BY_UI = "Prefect"
_DEFAULT_ORGANIZATION = "default"


class SpendCeiling(BaseModel):
    """What a run may spend on remote models before it is held; none means as much as the installation allows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_calls: int | None = Field(default=None, ge=1, title="Calls", description="Chat and embedding calls.")
    max_tokens: int | None = Field(default=None, ge=1, title="Tokens", description="Tokens read and written.")

    def within(self, installation: SpendSettings) -> "SpendCeiling":
        """This ceiling where it says something, and the installation's elsewhere."""
        return SpendCeiling(
            max_calls=self.max_calls or installation.max_calls, max_tokens=self.max_tokens or installation.max_tokens
        )

    @property
    def is_given(self) -> bool:
        """Whether there is anything to be held at."""
        return self.max_calls is not None or self.max_tokens is not None

    def times(self, factor: int) -> "SpendCeiling":
        """So many times this ceiling."""
        return SpendCeiling(
            max_calls=None if self.max_calls is None else self.max_calls * factor,
            max_tokens=None if self.max_tokens is None else self.max_tokens * factor,
        )

    def meter(self, spent: Spent) -> SpendMeter:
        """A meter that stands at `spent`."""
        return SpendMeter(self.max_calls, self.max_tokens, spent)

    def __str__(self) -> str:
        calls = self.max_calls and f"{self.max_calls:,} {'call' if self.max_calls == 1 else 'calls'}"
        parts = (calls, self.max_tokens and f"{self.max_tokens:,} tokens")
        return " and ".join(part for part in parts if part)


@dataclass(frozen=True, slots=True)
class CeilingGuard:
    """Keeps one execution below its ceiling, over all of its processes. Each `resume` allows as much again."""

    ceiling: SpendCeiling
    ledger: Ledger
    signals: Signals
    execution: WorkflowExecutionState
    was_waiting: bool

    async def meter(self) -> SpendMeter:
        """The execution's meter, with what earlier processes have spent; a resume that is due counts from here."""
        if not self.ceiling.is_given:
            return self.ceiling.meter(Spent(0, 0))
        so_far = await asyncio.to_thread(self.ledger.statistics, self.execution.id)
        spent = Spent(so_far.model_calls + so_far.embedding_calls, so_far.input_tokens + so_far.output_tokens)
        history = await asyncio.to_thread(self.signals.history, self.execution.id)
        grants = 1 + sum(signal.outcome == _RAISED for signal in history)
        if self.ceiling.times(grants).meter(spent).is_exhausted and await self._is_raised(history):
            grants += 1
        return self.ceiling.times(grants).meter(spent)

    async def _is_raised(self, history: tuple[Signal, ...]) -> bool:
        """Whether somebody has resumed the held run; a resume in Prefect's UI becomes a signal like any other."""
        due = [signal for signal in history if signal.name is SignalName.RESUME and signal.acted_at is None]
        if not due and self.was_waiting:
            due = await self._signal_of_ui()
        for signal in due:
            if await asyncio.to_thread(self.signals.act, signal.id, _RAISED):
                return True
        return False

    async def _signal_of_ui(self) -> list[Signal]:
        payload = {"reason": "resumed in Prefect"}
        try:
            return [
                await asyncio.to_thread(self.signals.send, self.execution.id, SignalName.RESUME, payload, _SENT_BY_UI)
            ]
        except SignalRefused:
            return []

    async def hold(self, flow_run_id: FlowRunId, spent: Spent) -> NoReturn:
        """Suspends the flow run until a `resume`.

        Raises:
            Pause: the flow run is suspended, and its process must end.
            ConfigurationError: the flow run is of no deployment, so nobody would start it again.
        """
        owner = self.execution.organization_id
        whose = "" if owner == _DEFAULT_ORGANIZATION else f" --organization {owner}"
        reason = (
            f"the spend ceiling of {self.ceiling} is reached ({spent} spent); what it has is kept. To allow as much "
            f"again: knowledge signal {self.execution.id} resume{whose}, or Resume in Prefect's UI"
        )
        async with get_client() as client:
            suspended = await suspend(client, flow_run_id, suspension("ceiling", reason))
            await asyncio.to_thread(self.ledger.set_aside, self.execution.id, reason)
            await act_unattended(client, self.signals, self.execution.id, flow_run_id)
        raise Pause(state=suspended)
