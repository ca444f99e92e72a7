"""What the worker's runs share of Prefect's: one watch for all, and a new one for those after it has failed."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio
import pytest
from prefect.runner._flow_run_executor import FlowRunExecutorContext

from deployments.flow_processes import SharedExecutors


class PlayedContext:
    """Stands for a context of Prefect's: whether it is open, and whether its watch has lost the server's events."""

    def __init__(self) -> None:
        self.is_open = True
        self._observer = self
        self._polling_task: object | None = None

    def lose_events(self) -> None:
        self._polling_task = object()


class Played:
    """Opens contexts, and remembers them."""

    def __init__(self) -> None:
        self.contexts: list[PlayedContext] = []
        self.breaks = asyncio.Event()

    @asynccontextmanager
    async def __call__(self) -> AsyncGenerator[FlowRunExecutorContext]:
        context = PlayedContext()
        self.contexts.append(context)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._break)
                yield cast(Any, context)
                group.cancel_scope.cancel()
        finally:
            context.is_open = False

    async def _break(self) -> None:
        await self.breaks.wait()
        raise RuntimeError("broken")

    @property
    def n_open(self) -> int:
        return sum(context.is_open for context in self.contexts)


async def _settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_runs_share_one_context_and_it_outlasts_them() -> None:
    """A client, a websocket and a listener for each run were a third of the worker's time."""
    played = Played()
    async with anyio.create_task_group() as group:
        executors = SharedExecutors(group, played)
        async with executors.lend() as first, executors.lend() as second:
            assert first is second
        async with executors.lend() as third:
            assert third is first
        assert (len(played.contexts), played.n_open) == (1, 1)
        group.cancel_scope.cancel()
    assert played.n_open == 0


async def test_a_context_that_has_lost_the_events_serves_its_runs_only() -> None:
    """A server that was restarted: new runs can be cancelled at once, old ones keep what they have."""
    played = Played()
    async with anyio.create_task_group() as group:
        executors = SharedExecutors(group, played)
        async with executors.lend() as old:
            played.contexts[0].lose_events()
            async with executors.lend() as new:
                assert new is not old
                assert played.n_open == 2
        await _settle()
        assert [context.is_open for context in played.contexts] == [False, True]
        played.contexts[1].lose_events()
        async with executors.lend():
            await _settle()
            assert [context.is_open for context in played.contexts] == [False, False, True]
        group.cancel_scope.cancel()


async def test_a_broken_context_does_not_end_the_worker() -> None:
    """Its runs are taken up again; the next one gets a new context."""
    played = Played()
    async with anyio.create_task_group() as group:
        executors = SharedExecutors(group, played)
        async with executors.lend():
            played.breaks.set()
            await _settle()
        played.breaks.clear()
        async with executors.lend():
            assert (len(played.contexts), played.n_open) == (2, 1)
        group.cancel_scope.cancel()


async def test_a_context_that_cannot_be_opened_fails_its_run_only() -> None:
    """The server may be away just then."""

    @asynccontextmanager
    async def refused() -> AsyncGenerator[FlowRunExecutorContext]:
        raise ConnectionError("nobody there")
        yield

    async with anyio.create_task_group() as group:
        executors = SharedExecutors(group, refused)
        with pytest.raises(ConnectionError):
            async with executors.lend():
                pass
        group.cancel_scope.cancel()
