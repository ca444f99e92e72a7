"""Calls that share a task run: Prefect's record of a task run costs more than computing many of them."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext, suppress
from contextvars import Context, copy_context
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from knowledge.errors import KnowledgeError

Call = TypeVar("Call")
Outcome = TypeVar("Outcome")

_MOST_CALLS = 16
_LONGEST_SECONDS = 30.0


class GroupOver(KnowledgeError):
    """Calls of a group failed for good; each caller has been told its own reason."""


class Group(Generic[Call]):
    """The calls of one task run, which takes in more of them while it runs: until it has `most_calls`, has run for
    `longest_seconds`, or is closed.

    A call is made by its caller, in the context of the task run, and nobody waits for another. `failed` is how many
    attempts have failed before the first that the task run may make again.
    """

    def __init__(self, most_calls: int, longest_seconds: float, failed: int = 0) -> None:
        self.calls: list[Call] = []
        self.failed = failed
        self._retries = 0
        self._most_calls = most_calls
        self._longest_seconds = longest_seconds
        self._under_way = 0
        self._closed = asyncio.Event()
        self._changed = asyncio.Event()
        self._context: asyncio.Future[Context] = asyncio.get_running_loop().create_future()
        self._to_retry: Exception | None = None
        self._lost: list[Exception] = []

    @property
    def is_open(self) -> bool:
        """Whether it takes in more calls."""
        return not self._closed.is_set()

    def close(self) -> None:
        """No more calls come; its run ends when those that it has are over."""
        self._closed.set()

    def join(self, call: Call) -> None:
        """The call is one of the group's from now on."""
        self.calls.append(call)
        self._under_way += 1
        if len(self.calls) >= self._most_calls:
            self.close()

    def leave(self) -> None:
        """A call is over, or goes on elsewhere."""
        self._under_way -= 1
        self._changed.set()

    def lose(self, error: Exception) -> None:
        """A call has failed for good."""
        self._lost.append(error)

    def retry(self, failed: int, error: Exception) -> bool:
        """Whether the call that has failed so many times is made again by the group's own task run, which has no other.

        What has other calls, or retries that are not this call's next, is not the place to wait in.
        """
        if len(self.calls) > 1 or failed != self.failed + self._retries + 1:
            return False
        self.close()
        self._retries, self._to_retry = self._retries + 1, error
        self._context = asyncio.get_running_loop().create_future()
        self._changed.set()
        return True

    async def context(self) -> Context:
        """The context of the task run, once it runs; again after each `retry`.

        Raises:
            Exception: what the run has ended with instead.
        """
        return (await asyncio.shield(self._context)).copy()

    async def run(self) -> None:
        """The task's body: lasts until no more calls come and all are over.

        Raises:
            Exception: what the call failed with that is to be made again; the body is then run again.
            GroupOver: some failed for good.
        """
        if self._to_retry is None:
            self._context.set_result(copy_context())
            with suppress(TimeoutError):
                async with asyncio.timeout(self._longest_seconds):
                    await self._closed.wait()
            self.close()
            while self._under_way and self._to_retry is None:
                self._changed.clear()
                await self._changed.wait()
        if self._to_retry is not None:
            error, self._to_retry = self._to_retry, None
            raise error
        if self._lost:
            raise GroupOver("; ".join(dict.fromkeys(str(error) or type(error).__name__ for error in self._lost)))

    def end(self, error: BaseException) -> None:
        """Its run has ended: those who wait for it to begin are told why."""
        self.close()
        if not self._under_way or isinstance(error, asyncio.CancelledError):
            self._context.cancel()
        elif not self._context.done():
            self._context.set_exception(error)


class Grouping(Generic[Call, Outcome]):
    """Makes calls in groups, at most `at_once` at a time if that is given, and those that failed again.

    `run` runs a group as a task; it runs the group again after a delay when that raises, as long as attempts are left.
    `make` makes a call. `failed_attempts` says how many attempts of a call have failed, this error's included, if it is
    worth another one, and None otherwise. An async context manager: leaving it ends the task runs. Use it in one event
    loop.
    """

    def __init__(
        self,
        run: Callable[[Group[Call]], Awaitable[object]],
        make: Callable[[Call], Awaitable[Outcome]],
        failed_attempts: Callable[[Call, Exception], int | None],
        *,
        at_once: int | None = None,
        most_calls: int = _MOST_CALLS,
        longest_seconds: float = _LONGEST_SECONDS,
    ) -> None:
        self._run = run
        self._make = make
        self._failed_attempts = failed_attempts
        self._slots = nullcontext() if at_once is None else asyncio.Semaphore(at_once)
        self._most_calls = most_calls
        self._longest_seconds = longest_seconds
        self._group: Group[Call] | None = None
        self._runs: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Nothing runs before there is a call."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Where calls were broken off, their task runs are, too; after a KnowledgeError those under way are over."""
        self.close()
        if kind is not None and not issubclass(kind, KnowledgeError):
            for run in self._runs:
                run.cancel()
        await asyncio.gather(*self._runs, return_exceptions=True)

    def close(self) -> None:
        """No calls are coming soon: task runs end when their calls are over."""
        if self._group is not None:
            self._group.close()

    async def call(self, call: Call) -> Outcome:
        """The outcome of the call.

        Raises:
            Exception: what making it, or its task run, raises.
        """
        group = self._joined(call)
        try:
            while True:
                context = await group.context()
                try:
                    async with self._slots:
                        return await asyncio.create_task(_coroutine(self._make, call), context=context)
                except Exception as error:
                    failed = self._failed_attempts(call, error)
                    if failed is None:
                        group.lose(error)
                        raise
                    if not group.retry(failed, error):
                        group.leave()
                        group = self._on_its_own(call, failed, error)
        finally:
            group.leave()

    def _joined(self, call: Call) -> Group[Call]:
        if self._group is None or not self._group.is_open:
            self._group = self._started(Group(self._most_calls, self._longest_seconds))
        self._group.join(call)
        return self._group

    def _on_its_own(self, call: Call, failed: int, error: Exception) -> Group[Call]:
        """A task run for this call alone, which begins by waiting for the next attempt."""
        group = self._started(Group[Call](1, self._longest_seconds, failed - 1))
        group.join(call)
        group.retry(failed, error)
        return group

    def _started(self, group: Group[Call]) -> Group[Call]:
        run = asyncio.create_task(self._run_to_its_end(group))
        self._runs.add(run)
        run.add_done_callback(self._runs.discard)
        return group

    async def _run_to_its_end(self, group: Group[Call]) -> None:
        try:
            await self._run(group)
        except asyncio.CancelledError as error:
            group.end(error)
            raise
        except BaseException as error:  # noqa: BLE001 -- whatever it is, it is told to those who wait
            group.end(error)
        else:
            group.end(RuntimeError("the task run has ended before its call was made"))


async def _coroutine(make: Callable[[Any], Awaitable[Outcome]], call: object) -> Outcome:
    return await make(call)
