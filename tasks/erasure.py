"""Erasure: everything of an organisation goes, in Prefect and in the tables, and is counted afterwards."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelling

from knowledge.errors import ErasureRefused, SignalRefused
from knowledge.ids import FlowRunId, OrganizationId
from knowledge.signals import SignalName
from tables.fence import held_fences
from tables.organization_rows import count_rows, flow_runs_of, remove_rows
from tables.oversight import ExecutionOverview, unfinished_executions
from tables.session import Database
from tables.signals import Signals
from tasks.prefect_history import remove_run, runs_of
from tasks.unattended import act_unattended

_LOOK_SECONDS = 1.0
_REASON = "the organisation is being erased"


@dataclass(frozen=True, slots=True)
class Erased:
    """How many rows went from each table, and how many of Prefect's flow runs; None where Prefect was not asked."""

    rows: Mapping[str, int]
    flow_runs: int | None


@dataclass(frozen=True, slots=True)
class UnderWay:
    """What of an organisation is not over."""

    executions: tuple[ExecutionOverview, ...]
    flow_runs: tuple[FlowRun, ...]

    def __bool__(self) -> bool:
        return bool(self.executions or self.flow_runs)

    def __str__(self) -> str:
        names = [*(each.id for each in self.executions), *(f"flow run {run.id}" for run in self.flow_runs)]
        return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


class Eraser:
    """Erases one organisation. Begun again after an interruption, it goes on with what is left.

    Without a `client` Prefect is left alone. Methods raise StoreUnavailable, httpx.HTTPError and
    PrefectHTTPStatusError when the database or Prefect's API does not answer.
    """

    def __init__(self, client: PrefectClient | None, database: Database, organization_id: OrganizationId) -> None:
        self._client = client
        self._database = database
        self._organization_id = organization_id
        self._signals = Signals(database, organization_id)

    async def under_way(self) -> UnderWay:
        """The executions that are not finished, and the flow runs of no such execution that are not over."""
        found = await asyncio.to_thread(unfinished_executions, self._database)
        executions = tuple(each for each in found if each.organization_id == self._organization_id)
        known = {each.flow_run_id for each in executions}
        runs = [] if self._client is None else await runs_of(self._client, self._organization_id)
        live = (run for run in runs if run.state is None or not run.state.is_final())
        return UnderWay(executions, tuple(run for run in live if FlowRunId(str(run.id)) not in known))

    async def cancel(self, patience_seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Cancels all that is under way, and returns when nothing is.

        Raises:
            ErasureRefused: something still is when the patience is over.
        """
        deadline = monotonic() + patience_seconds
        told: set[str] = set()
        while going := await self.under_way():
            if monotonic() > deadline:
                raise ErasureRefused(f"still under way after {patience_seconds:.0f} s: {going}; try again later")
            await self._cancel_executions(going.executions, told)
            await self._cancel_runs(going.flow_runs, told)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _cancel_executions(self, executions: Sequence[ExecutionOverview], told: set[str]) -> None:
        for each in executions:
            if each.id not in told:
                told.add(each.id)
                with suppress(SignalRefused):
                    await asyncio.to_thread(
                        self._signals.send, each.id, SignalName.CANCEL, {"reason": _REASON}, "erasure"
                    )
            if not await self._has_process(each.flow_run_id):
                await self._end(each)

    async def _has_process(self, flow_run_id: FlowRunId | None) -> bool:
        return flow_run_id is not None and bool(await asyncio.to_thread(held_fences, self._database, [flow_run_id]))

    async def _end(self, execution: ExecutionOverview) -> None:
        if self._client is not None and execution.flow_run_id is not None:
            await act_unattended(self._client, self._signals, execution.id, execution.flow_run_id)
        else:
            await asyncio.to_thread(self._signals.cancel, execution.id, _REASON)

    async def _cancel_runs(self, runs: Sequence[FlowRun], told: set[str]) -> None:
        for run in runs:
            if self._client is not None and str(run.id) not in told:
                told.add(str(run.id))
                with suppress(ObjectNotFound):
                    await self._client.set_flow_run_state(run.id, Cancelling(message=_REASON))

    async def erase(self) -> Erased:
        """Removes everything, and counts what is left in every table of the schema that has organisations.

        Raises:
            ErasureRefused: something is under way, or rows came in while others went.
        """
        going = await self.under_way()
        if going:
            raise ErasureRefused(
                f"organisation {self._organization_id} has runs that are not over: {going}. "
                "Let them end, or have them cancelled with --cancel-runs"
            )
        removed = None if self._client is None else await self._remove_runs(self._client)
        return Erased(await asyncio.to_thread(self._remove_rows), removed)

    def _remove_rows(self) -> dict[str, int]:
        rows = remove_rows(self._database, self._organization_id)
        left = {table: count for table, count in count_rows(self._database, self._organization_id).items() if count}
        if left:
            names = ", ".join(f"{table} ({count})" for table, count in left.items())
            raise ErasureRefused(f"rows came in while others were removed, and are left in {names}: erase again")
        return rows

    async def _remove_runs(self, client: PrefectClient) -> int:
        known = await asyncio.to_thread(flow_runs_of, self._database, self._organization_id)
        ids = {UUID(each) for each in known} | {run.id for run in await runs_of(client, self._organization_id)}
        for id_ in sorted(ids):
            await remove_run(client, id_)
        return len(ids)
