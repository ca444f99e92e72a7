"""Processes known by pid *and* time of creation, so that a reused pid is never taken for the one we started."""

import os
import signal
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass

import psutil

STACK_VARIABLE = "KNOWLEDGE_STACK"
"""Set to the stack's home in the environment of its server and worker: how their descendants are found."""

# The kernel's clock ticks and corrections of the wall clock move a process's time of creation a little.
_CLOCK_TOLERANCE_SECONDS = 2.0
_WAIT_SLICE_SECONDS = 0.2


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """A process: its pid, and when it was created (seconds since the epoch)."""

    pid: int
    created_at: float

    @classmethod
    def of(cls, pid: int) -> "ProcessIdentity | None":
        """The identity of the live process `pid`, if there is one."""
        try:
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            return cls(pid, process.create_time())
        except psutil.NoSuchProcess:
            return None

    @property
    def is_alive(self) -> bool:
        """Whether this very process still runs; a zombie does not."""
        now = ProcessIdentity.of(self.pid)
        return now is not None and abs(now.created_at - self.created_at) <= _CLOCK_TOLERANCE_SECONDS

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if the process is still there."""
        if self.is_alive:
            try:
                os.kill(self.pid, number)
            except ProcessLookupError:
                return

    def wait(self, timeout_seconds: float) -> bool:
        """Wait for the end of the process; whether it ended in time."""
        deadline = time.monotonic() + timeout_seconds
        while self.is_alive:
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            # In slices: a process that only waits for its parent to take note is over, and psutil waits on.
            with suppress(psutil.NoSuchProcess, psutil.TimeoutExpired):
                psutil.Process(self.pid).wait(min(left, _WAIT_SLICE_SECONDS))
        return True

    def stop(self, signals: Sequence[signal.Signals], grace_seconds: float) -> None:
        """Send the signals one after the other, each with the grace, and at last SIGKILL."""
        for number in signals:
            self.send(number)
            if self.wait(grace_seconds):
                return
        self.send(signal.SIGKILL)
        self.wait(grace_seconds)


def stack_processes(home: str, *, except_pids: Iterable[int] = ()) -> tuple[ProcessIdentity, ...]:
    """Our live processes that were started by the stack of `home`, directly or not, without `except_pids`."""
    excluded = {os.getpid(), *except_pids}
    return tuple(
        identity
        for process in psutil.process_iter()
        if process.pid not in excluded and _stack_of(process) == home
        if (identity := ProcessIdentity.of(process.pid)) is not None
    )


def _stack_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(STACK_VARIABLE)
    except (psutil.Error, OSError):
        return None


def end_all(processes: Sequence[ProcessIdentity], grace_seconds: float) -> None:
    """End the processes: SIGTERM to all, and SIGKILL to those still there after the grace."""
    for process in processes:
        process.send(signal.SIGTERM)
    alive = [process for process in processes if not process.wait(grace_seconds)]
    for process in alive:
        process.send(signal.SIGKILL)
    for process in alive:
        process.wait(grace_seconds)
