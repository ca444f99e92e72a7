"""Calls that share a task run: what is computed in a moment costs less than Prefect's record of it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Call = TypeVar("Call")
Outcome = TypeVar("Outcome")


class Group(Generic[Call, Outcome]):
    """Calls run together. Running it again runs those that have failed."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = tuple(calls)
        self._outcomes: dict[int, Outcome] = {}
        self._errors: dict[int, Exception] = {}

    async def run(self, run_one: Callable[[Call], Awaitable[Outcome]]) -> None:
        """Run the calls that have no outcome yet, one after the other.

        Raises: what the first of them raised that failed; the others have been run nevertheless.
        """
        self._errors.clear()
        for n, call in enumerate(self.calls):
            if n not in self._outcomes:
                try:
                    self._outcomes[n] = await run_one(call)
                except Exception as error:  # noqa: BLE001 -- whatever it is, it is told to whoever called
                    self._errors[n] = error
        for error in self._errors.values():
            raise error

    def tell(self, futures: Sequence["asyncio.Future[Outcome]"], failure: Exception | None) -> None:
        """Give each caller the outcome or error of its call; `failure` is what the run of the group failed with."""
        for n, future in enumerate(futures):
            if future.done():
                continue
            if n in self._outcomes:
                future.set_result(self._outcomes[n])
            else:
                future.set_exception(self._errors.get(n) or failure or RuntimeError("the call was not run"))


class Grouping(Generic[Call, Outcome]):
    """Calls that come within `seconds` of the first are a group; `run` runs it. Use it in one event loop."""

    def __init__(self, run: Callable[[Group[Call, Outcome]], Awaitable[None]], seconds: float) -> None:
        self._run = run
        self._seconds = seconds
        self._waiting: list[tuple[Call, asyncio.Future[Outcome]]] = []
        self._running: set[asyncio.Task[None]] = set()

    async def call(self, call: Call) -> Outcome:
        """The outcome of the call.

        Raises: what running it, or its group, raises.
        """
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((call, future))
        if len(self._waiting) == 1:
            task = asyncio.create_task(self._run_soon())
            self._running.add(task)
            task.add_done_callback(self._running.discard)
        return await future

    async def _run_soon(self) -> None:
        await asyncio.sleep(self._seconds)
        waiting, self._waiting = self._waiting, []
        group, futures = Group[Call, Outcome]([call for call, _ in waiting]), [future for _, future in waiting]
        try:
            await self._run(group)
        except Exception as error:  # noqa: BLE001 -- told to those who wait
            group.tell(futures, error)
        except BaseException:
            for future in futures:
                future.cancel()
            raise
        else:
            group.tell(futures, None)
