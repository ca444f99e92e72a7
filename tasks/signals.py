"""What signals do to a run at work: pausing, resuming and cancelling it."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from knowledge.domain import ExecutionStatus
from knowledge.errors import ExecutionCancelled, StoreUnavailable
from knowledge.ids import ExecutionId
from knowledge.signals import Signal, SignalName, cancellation, standing_of
from knowledge.stages.calls import StageAnswer, StageCall, StageRunner
from knowledge.stages.stages import Stages
from tables.signals import Signals

Result = TypeVar("Result")

# Whoever sends a signal says so to those who listen; this is for what they miss.
_POLL_SECONDS = 5.0
_OUTCOMES = {SignalName.PAUSE: "paused", SignalName.RESUME: "resumed"}
_TOO_LATE = "too late: the execution had ended"
_logger = logging.getLogger(__name__)


class SignalWatcher:
    """Looks for signals to an execution, when told to and every few seconds, and makes them act on the block it is
    entered for.

    An async context manager. A `cancel` stops the block where it stands, as a cancelled asyncio task would be, and
    comes out of it as ExecutionCancelled; `pause` closes `may_begin` until `resume`. What counts is the signals'
    whole history: a process that takes over from a dead one holds a paused run paused, and cancels a cancelled one.

    Raises:
        ExecutionCancelled: the execution was told to cancel, also before the block is entered.
        StoreUnavailable: the first look failed. Later ones are made again.
    """

    def __init__(
        self,
        signals: Signals,
        execution_id: ExecutionId,
        sleep: Callable[[float], Awaitable[object]] | None = None,
    ) -> None:
        self._signals = signals
        self._execution_id = execution_id
        self._sleep = sleep or self._doze
        self._is_told = asyncio.Event()
        self._may_begin = asyncio.Event()
        self._is_paused: bool | None = None
        self._cancel: Signal | None = None
        self._work: asyncio.Task[object] | None = None
        self._poller: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "SignalWatcher":
        await self._look()
        if self._cancel is not None:
            raise ExecutionCancelled(cancellation(self._cancel))
        self._work = asyncio.current_task()
        self._poller = asyncio.create_task(self._poll())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        await self._stop_polling()
        if self._cancel is not None and isinstance(error, Exception | asyncio.CancelledError | None):
            assert self._work is not None
            if self._work.uncancel() == 0:
                raise ExecutionCancelled(cancellation(self._cancel)) from error
        elif error is None:
            await self._decline_the_rest()

    @property
    def is_paused(self) -> bool:
        """Whether nothing new is to be begun."""
        return not self._may_begin.is_set()

    async def may_begin(self) -> None:
        """Returns when nothing pauses the run."""
        await self._may_begin.wait()

    async def let_finish(self) -> None:
        """Returns when nothing pauses the run; from then on no signal acts on it. For what must not be cut in two."""
        await self._look()
        await self.may_begin()
        await self._stop_polling()

    def hear(self, execution_id: str) -> None:
        """Somebody has sent a signal to this execution, which may be another one: called in our event loop."""
        if execution_id == self._execution_id:
            self._is_told.set()

    async def _doze(self, seconds: float) -> None:
        """Returns after so long, or when there is something to see."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._is_told.wait()
        self._is_told.clear()

    async def _poll(self) -> None:
        while self._cancel is None:
            await self._sleep(_POLL_SECONDS)
            try:
                await self._look()
            except StoreUnavailable as error:
                _logger.warning("signals cannot be looked for: %s", error.message)

    async def _look(self) -> None:
        history = await asyncio.to_thread(self._signals.history, self._execution_id)
        standing = standing_of(history)
        if standing.cancel is not None and self._cancel is None:
            self._cancel = standing.cancel
            if self._work is not None:
                self._work.cancel()
        await self._pause_or_resume(standing.is_paused)
        for signal in history:
            if signal.acted_at is None and signal.name in _OUTCOMES:
                await asyncio.to_thread(self._signals.act, signal.id, _OUTCOMES[signal.name])

    async def _pause_or_resume(self, is_paused: bool) -> None:
        if is_paused and self._is_paused is not True:
            self._may_begin.clear()
            await asyncio.to_thread(self._signals.show, self._execution_id, ExecutionStatus.PAUSED)
        elif not is_paused and self._is_paused is not False:
            # The row of a process that has just begun says that it runs.
            if self._is_paused is not None:
                await asyncio.to_thread(self._signals.show, self._execution_id, ExecutionStatus.RUNNING)
            self._may_begin.set()
        self._is_paused = is_paused

    async def _stop_polling(self) -> None:
        if self._poller is not None:
            self._poller.cancel()
            # Waits without raising what the poller raises; our own cancellation, if it came to that, comes out here.
            await asyncio.wait({self._poller})

    async def _decline_the_rest(self) -> None:
        with contextlib.suppress(StoreUnavailable):
            for signal in await asyncio.to_thread(self._signals.pending, self._execution_id):
                await asyncio.to_thread(self._signals.act, signal.id, _TOO_LATE)


def gated(stages: Stages, watcher: SignalWatcher) -> Stages:
    """The same stages, each call begun only while nothing pauses the run; those under way go on."""
    return stages.run_by(_GatedRunner(stages.runner, watcher))


class _GatedRunner:
    def __init__(self, runner: StageRunner, watcher: SignalWatcher) -> None:
        self._runner = runner
        self._watcher = watcher

    async def __call__(self, call: StageCall[Result]) -> StageAnswer[Result]:
        await self._watcher.may_begin()
        return await self._runner(call)
