"""Reviews: a run that holds before it publishes until somebody approves or rejects what it found.

Held, it is a suspended flow run without a process; in Prefect's UI its resume button shows a form. A decision,
wherever it is taken, becomes a signal, and the signals are what counts: no decision is asked for twice.
"""

import asyncio
from typing import Literal, NoReturn
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.exceptions import Pause
from prefect.input import RunInput, keyset_from_paused_state
from pydantic import Field, ValidationError

from knowledge.domain import ExecutionStatus
from knowledge.errors import ExecutionCancelled, SignalRefused
from knowledge.ids import ExecutionId, FlowRunId
from knowledge.signals import Signal, SignalName, rejection, standing_of
from tables.signals import Signals
from tasks.suspension import suspend, suspension
from tasks.unattended import act_unattended

_KEY = "review"
_ANSWERS = f"suspended-{_KEY}-"
_ANSWERS_READ = 200
_SENT_BY_UI = "Prefect"


class ReviewDecision(RunInput):
    """The form that decides a review."""

    decision: Literal["approve", "reject"] = Field(
        title="Decision", description="Approve publishes the graph; reject ends the run and publishes nothing."
    )
    comment: str = Field(default="", max_length=2000, title="Comment", description="Why; it is kept with the run.")


class Review:
    """The review of one execution."""

    def __init__(self, signals: Signals, execution_id: ExecutionId, flow_run_id: FlowRunId) -> None:
        self._signals = signals
        self._execution_id = execution_id
        self._flow_run_id = flow_run_id

    async def is_approved(self) -> bool:
        """Whether the run is approved; False while nobody has decided. The decision counts as acted on from here.

        Raises:
            ExecutionCancelled: it is rejected.
        """
        async with get_client() as client:
            decided = await self._signalled() or await self._answered(client)
        if decided is None:
            return False
        outcome = "approved" if decided.name is SignalName.APPROVE else "rejected"
        await asyncio.to_thread(self._signals.act, decided.id, outcome)
        if decided.name is SignalName.REJECT:
            raise ExecutionCancelled(rejection(decided))
        return True

    async def hold(self, description: str) -> NoReturn:
        """Suspends the flow run, with a form that shows `description` (markdown).

        Raises:
            Pause: the flow run is suspended, and its process must end.
            ConfigurationError: the flow run is of no deployment, so nobody would start it again.
        """
        asked = suspension(_KEY, "Waiting for a review: approve or reject")
        keyset = keyset_from_paused_state(asked)
        asked.state_details.run_input_keyset = {str(part): key for part, key in keyset.items()}
        async with get_client() as client:
            # The form first: once suspended, whatever dies, the run can be decided.
            form = ReviewDecision.with_initial_data(description=description)
            await form.asave(keyset, UUID(self._flow_run_id))
            suspended = await suspend(client, self._flow_run_id, asked)
            await asyncio.to_thread(self._signals.show, self._execution_id, ExecutionStatus.WAITING)
            # Whoever sent a signal before the run was suspended saw a process that would act on it.
            await act_unattended(client, self._signals, self._execution_id, self._flow_run_id)
        raise Pause(state=suspended)

    async def _signalled(self) -> Signal | None:
        return standing_of(await asyncio.to_thread(self._signals.history, self._execution_id)).decision

    async def _answered(self, client: PrefectClient) -> Signal | None:
        """The earliest answer to a form of this run, made a signal."""
        inputs = await client.filter_flow_run_input(UUID(self._flow_run_id), _ANSWERS, _ANSWERS_READ, set())
        answers = [given for given in inputs if given.key.endswith("-response")]
        for given in sorted(answers, key=lambda answer: (str(answer.created), answer.key)):
            try:
                answer = ReviewDecision.model_validate(given.decoded_value)
            except ValidationError:
                continue
            return await self._record(SignalName(answer.decision), answer.comment)
        return None

    async def _record(self, name: SignalName, comment: str) -> Signal | None:
        payload = {"comment": comment} if comment else {}
        try:
            return await asyncio.to_thread(self._signals.send, self._execution_id, name, payload, _SENT_BY_UI)
        except SignalRefused:
            # Somebody's signal was quicker: the first decision counts.
            return await self._signalled()
