"""`knowledge signal`: recorded first, then acted on here if no process works on the execution."""

import asyncio
import getpass
import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.database import open_database
from deployments.stack import running_stack
from knowledge.domain import ExecutionStatus, WorkflowExecutionState
from knowledge.errors import SignalRefused
from knowledge.ids import ExecutionId, OrganizationId
from knowledge.settings import Settings
from knowledge.signals import Signal, SignalName
from tables.fence import held_fences
from tables.ledger import Ledger
from tables.session import Database
from tables.signals import Signals
from tasks.deferral import is_set_aside
from tasks.unattended import act_unattended, is_suspended

_EXAMPLE = '{"reason": "…"}'
_LEFT_TO_PROCESS = "its process acts on it within seconds"
_GOES_ON = "the run goes on from its review"
_RESUMED = "the run goes on"
_LEFT_FOR_LATER = "it is acted on when a process takes up the run"


@dataclass(frozen=True, slots=True)
class Sent:
    """A signal as recorded, and what follows, for people."""

    signal: Signal
    effect: str


def send_signal(
    settings: Settings, organization_id: OrganizationId, execution_id: ExecutionId, name: str, payload: str
) -> Sent:
    """Records the signal, durably; where no process would act on it, acts on it.

    Raises:
        SignalRefused: no such signal, no JSON object, or one that can change nothing about the execution.
        NotFound: the organisation has no such execution.
        ConfigurationError: no stack runs and no `DATABASE_URL` is set.
    """
    kind, content = SignalName.of(name), payload_of(payload)
    with open_database(settings) as database:
        signal = Signals(database, organization_id).send(execution_id, kind, content, this_login())
        return asyncio.run(see_to(settings, database, organization_id, signal))


async def see_to(settings: Settings, database: Database, organization_id: OrganizationId, signal: Signal) -> Sent:
    """A signal that is recorded, and what follows: where no process would act on it, it is acted on here."""
    state = await asyncio.to_thread(Ledger(database, organization_id).load, signal.execution_id)
    stack = running_stack(settings)
    api_url = stack.api_url if stack is not None else PREFECT_API_URL.value()
    if not api_url:
        return Sent(signal, _LEFT_FOR_LATER)
    with temporary_settings({PREFECT_API_URL: api_url}):
        return Sent(signal, await effect_of(database, state, signal))


def payload_of(text: str) -> Mapping[str, object]:
    """The JSON object in a text; an empty one for an empty text.

    Raises:
        SignalRefused: it is not a JSON object.
    """
    try:
        payload: object = json.loads(text or "{}")
    except ValueError as error:
        raise SignalRefused(f"the signal's payload is not JSON ({error}): write it as '{_EXAMPLE}'") from error
    if not isinstance(payload, dict):
        raise SignalRefused(f"the signal's payload must be a JSON object such as '{_EXAMPLE}'")
    return cast(dict[str, object], payload)


async def effect_of(database: Database, state: WorkflowExecutionState, signal: Signal) -> str:
    """What follows from a signal, for people; `state` is the execution when the signal was recorded.

    Where no process works on the execution, it is acted on here, unless somebody else was quicker.
    """
    if state.flow_run_id is None:
        return _LEFT_FOR_LATER
    signals = Signals(database, state.organization_id)
    try:
        async with get_client() as client:
            has_process = await asyncio.to_thread(held_fences, database, [state.flow_run_id])
            # A suspended run's process, if it is still there, does nothing any more.
            if has_process and not await is_suspended(client, state.flow_run_id):
                return _LEFT_TO_PROCESS
            done = await act_unattended(client, signals, state.id, state.flow_run_id)
            if done is None and await _was_resumed(client, state, signal):
                return _GOES_ON if signal.name.is_decision else _RESUMED
            return done or _LEFT_FOR_LATER
    except (httpx.HTTPError, PrefectHTTPStatusError):
        return f"{_LEFT_FOR_LATER} (the Prefect API does not answer now)"


async def _was_resumed(client: PrefectClient, held: WorkflowExecutionState, signal: Signal) -> bool:
    """Whether a held run has been let go by this signal: recovery may read it before its sender comes to it."""
    if held.flow_run_id is None or held.status is not ExecutionStatus.WAITING:
        return False
    if not (signal.name.is_decision or signal.name is SignalName.RESUME):
        return False
    try:
        state = (await client.read_flow_run(UUID(held.flow_run_id))).state
    except ObjectNotFound:
        return False
    # One that waits for an endpoint was never suspended, and no signal wakes it.
    return state is not None and not state.is_paused() and not is_set_aside(state)


def this_login() -> str:
    """Who works here: the login, where they are."""
    try:
        login = getpass.getuser()
    except (KeyError, OSError):
        login = str(os.getuid())
    return f"{login}@{socket.gethostname()}"
