"""Calls that share a task run: Prefect's record of a task run costs more than computing many of them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Generic, TypeVar

from knowledge.errors import KnowledgeError

Call = TypeVar("Call")
Outcome = TypeVar("Outcome")


class GroupOver(KnowledgeError):
    """Calls of a group failed for good; each caller is told its own reason."""


class Group(Generic[Call, Outcome]):
    """Calls run together. Running it again runs those that have failed and may yet succeed."""

    def __init__(self, calls: Sequence[tuple[Call, "asyncio.Future[Outcome]"]]) -> None:
        self.calls = tuple(call for call, _ in calls)
        self._futures = tuple(future for _, future in calls)
        self._left = set(range(len(calls)))
        self._errors: dict[int, Exception] = {}

    async def run(
        self,
        run_one: Callable[[Call], Awaitable[Outcome]],
        may_succeed: Callable[[Call, Exception], bool],
        at_once: int = 1,
    ) -> None:
        """Run the calls that are left, `at_once` at a time; who waits for one is told its outcome at once.

        Raises:
            Exception: what the first of those raised that failed and may succeed when it is run again; the others
                have been run nevertheless.
            GroupOver: some failed, and none of them may succeed.
        """
        slots = asyncio.Semaphore(at_once)

        async def run_in_turn(n: int) -> None:
            async with slots:
                try:
                    self._tell(n, await run_one(self.calls[n]))
                except Exception as error:  # noqa: BLE001 -- whatever it is, it is told to whoever called
                    self._errors[n] = error

        self._errors.clear()
        await asyncio.gather(*(run_in_turn(n) for n in sorted(self._left)))
        failed = sorted(self._errors.items())
        self._left = {n for n, error in failed if may_succeed(self.calls[n], error)}
        for n, error in failed:
            if n not in self._left:
                self._fail(n, error)
        if self._left:
            raise self._errors[min(self._left)]
        if failed:
            raise GroupOver("; ".join(dict.fromkeys(str(error) or type(error).__name__ for _, error in failed)))

    def close(self, failure: Exception | None) -> None:
        """Tell those who still wait why: their call's own error, or `failure`, which the group's run ended with."""
        for n in range(len(self.calls)):
            self._fail(n, self._errors.get(n) or failure or RuntimeError("the call was not run"))

    @property
    def is_abandoned(self) -> bool:
        """Whether nobody waits for what is left of it."""
        return all(future.done() for future in self._futures) and any(future.cancelled() for future in self._futures)

    def cancel(self) -> None:
        """Those who still wait are told that they wait in vain."""
        for future in self._futures:
            future.cancel()

    def _tell(self, n: int, outcome: Outcome) -> None:
        self._left.discard(n)
        if not self._futures[n].done():
            self._futures[n].set_result(outcome)

    def _fail(self, n: int, error: Exception) -> None:
        if not self._futures[n].done():
            self._futures[n].set_exception(error)


class Grouping(Generic[Call, Outcome]):
    """Calls that come at about the same time are a group; `run` runs it. Use it in one event loop.

    A group is closed when `quiet` has been set, and was set still after `settling_seconds`: no more calls are coming
    then. It is closed after `longest_seconds` in any case.
    """

    def __init__(
        self,
        run: Callable[[Group[Call, Outcome]], Awaitable[None]],
        quiet: asyncio.Event,
        *,
        settling_seconds: float = 0.02,
        longest_seconds: float = 2.0,
    ) -> None:
        self._run = run
        self._quiet = quiet
        self._settling_seconds = settling_seconds
        self._longest_seconds = longest_seconds
        self._waiting: list[tuple[Call, asyncio.Future[Outcome]]] = []
        self._running: set[asyncio.Task[None]] = set()

    async def call(self, call: Call) -> Outcome:
        """The outcome of the call.

        Raises:
            Exception: what running it, or its group, raises.
        """
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((call, future))
        if len(self._waiting) == 1:
            task = asyncio.create_task(self._run_soon())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return await future

    async def _run_soon(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._longest_seconds):
                await self._settled()
        waiting, self._waiting = self._waiting, []
        group, task = Group(waiting), asyncio.current_task()

        def end_if_abandoned(future: "asyncio.Future[Outcome]") -> None:
            # Told to stop, a run asks no more.
            if group.is_abandoned and task is not None:
                task.cancel()

        for _, future in waiting:
            future.add_done_callback(end_if_abandoned)
        try:
            await self._run(group)
        except Exception as error:  # noqa: BLE001 -- told to those who wait
            group.close(error)
        except BaseException:
            group.cancel()
            raise
        else:
            group.close(None)

    async def _settled(self) -> None:
        is_quiet = False
        while not is_quiet:
            await self._quiet.wait()
            await asyncio.sleep(self._settling_seconds)
            is_quiet = self._quiet.is_set()
