"""The flow processes of a worker: each runs one flow run after another.

A process that has run one has opened its connections and has worked out what every run needs; a new one takes longer
for that than a short document takes. It works for one run at a time, so that what ends it ends that run alone.
"""

import os
import signal
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from multiprocessing.context import BaseContext
from typing import Any

import anyio
from anyio.to_thread import run_sync

from deployments.flow_process import Order, run_flow_runs

_MOST_RUNS = 25
"""So many runs, and a new process: whatever else a run may leave behind goes with it."""
_LARGEST_BYTES = 400_000_000
_IDLE_SECONDS = 20.0
_OF_ONE_RUN = "PREFECT__"


class Attempt:
    """A process's work on one run: what Prefect knows as a process, and ends as one.

    It is over when the run is, although its process may live on; from then on nothing that is meant for the run
    reaches the process.
    """

    wait_after_graceful_kill = True

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.exitcode: int | None = None
        self.is_told_to_end = False

    def is_alive(self, pid: int) -> bool:
        """Whether the run's process is there, and still at it."""
        return self.exitcode is None and _exists(pid)

    def graceful_kill(self, pid: int) -> None:
        """Tell it to end."""
        self._send(pid, signal.SIGTERM)

    def hard_kill(self, pid: int) -> None:
        """End it."""
        self._send(pid, signal.SIGKILL)

    def close(self) -> None:
        """Nothing is held."""

    def _send(self, pid: int, number: signal.Signals) -> None:
        self.is_told_to_end = True
        if self.exitcode is None:
            os.kill(pid, number)


def _exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


class _FlowProcess:
    """A process and the line through which it is given runs."""

    def __init__(self, process: Any, orders: Connection, settings: Mapping[str, str]) -> None:
        self.process = process
        self.orders = orders
        self.settings = settings
        self.runs = 1
        self.idle_since = 0.0

    def send(self, order: Order) -> bool:
        """Give it a run; False when it is not there any more."""
        try:
            self.orders.send(order)
        except OSError:
            return False
        self.runs += 1
        return True

    def retire(self) -> None:
        """It ends when it notices that nobody orders anything any more."""
        self.orders.close()


class ProcessPool:
    """Gives each run a process: one that waits, if it has the run's settings, or a new one."""

    def __init__(
        self,
        context: BaseContext,
        monotonic: Callable[[], float] = time.monotonic,
        target: Callable[[Order, bool, Connection], None] = run_flow_runs,
    ) -> None:
        self._context: Any = context
        self._target = target
        self._monotonic = monotonic
        self._idle: list[_FlowProcess] = []

    async def run(self, order: Order, is_retuned: bool, begun: Callable[[Attempt], None]) -> None:
        """Run what is ordered, and return when it is over; `begun` is told at once who does it.

        Whoever cancels this ends the process.
        """
        worker = self._take(order) or await self._start(order, is_retuned)
        attempt = Attempt(worker.process.pid)
        begun(attempt)
        try:
            taken = await self._outcome(worker)
        except BaseException:
            attempt.exitcode = -signal.SIGTERM
            worker.process.terminate()
            worker.retire()
            raise
        if taken is None:
            worker.retire()
            await run_sync(worker.process.join)
            attempt.exitcode = worker.process.exitcode
            return
        attempt.exitcode = 0
        if attempt.is_told_to_end or worker.runs >= _MOST_RUNS or taken > _LARGEST_BYTES:
            worker.retire()
            return
        worker.idle_since = self._monotonic()
        self._idle.append(worker)

    def retire_idle(self, idle_seconds: float = _IDLE_SECONDS) -> None:
        """Let go of processes that have had nothing to do for so long."""
        now = self._monotonic()
        for worker in [each for each in self._idle if now - each.idle_since >= idle_seconds]:
            self._idle.remove(worker)
            worker.retire()

    def _take(self, order: Order) -> _FlowProcess | None:
        """The process that has waited least, of those with the same settings, given the order."""
        settings = _settings(order)
        for worker in reversed(self._idle.copy()):
            if worker.settings == settings:
                self._idle.remove(worker)
                if worker.send(order):
                    return worker
                worker.retire()
        return None

    async def _start(self, order: Order, is_retuned: bool) -> _FlowProcess:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=self._target, args=(order, is_retuned, theirs))
        # The first one waits for the fork server's imports.
        await run_sync(process.start)
        theirs.close()
        return _FlowProcess(process, ours, _settings(order))

    async def _outcome(self, worker: _FlowProcess) -> int | None:
        """How many bytes the process takes, once it waits for another run; None when it has ended."""
        await anyio.wait_readable(worker.orders.fileno())
        try:
            taken: int = worker.orders.recv()
        except (EOFError, OSError):
            return None
        return taken


def _settings(order: Order) -> dict[str, str]:
    """What is the same for many runs in the environment of an order."""
    return {name: value for name, value in order.environment.items() if not name.startswith(_OF_ONE_RUN)}
