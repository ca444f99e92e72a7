"""SIGTERM reaches a run wherever it strikes."""

import asyncio
import os
import signal
from collections.abc import Iterator
from types import FrameType

import pytest

from tasks.termination import cancelled_by_sigterm


class _Terminated(BaseException):
    """As Prefect's handler raises it."""


@pytest.fixture(autouse=True)
def raising_handler() -> Iterator[None]:
    """A handler that raises where the signal arrives, as Prefect's does."""

    def handler(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    previous = signal.signal(signal.SIGTERM, handler)
    yield
    signal.signal(signal.SIGTERM, previous)


def _strike() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


async def test_a_signal_that_strikes_in_a_callback_cancels_the_run() -> None:
    """The event loop swallows what a callback raises, whatever it is."""
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)

    async def run() -> None:
        with cancelled_by_sigterm():
            asyncio.get_running_loop().call_soon(_strike)
            await asyncio.Event().wait()

    task = asyncio.create_task(run())
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_run_that_is_being_cancelled_may_tidy_up() -> None:
    """The signal and whoever else cancels the run do not interrupt what it does at last."""
    tidied = asyncio.Event()

    async def run() -> None:
        with cancelled_by_sigterm():
            try:
                await asyncio.Event().wait()
            finally:
                with pytest.raises(_Terminated):
                    _strike()
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                tidied.set()

    task = asyncio.create_task(run())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert tidied.is_set()


async def test_other_signals_are_none_of_its_business() -> None:
    """And afterwards SIGTERM is not either."""
    with cancelled_by_sigterm():
        signal.raise_signal(signal.SIGCHLD)
        await asyncio.sleep(0)
    with pytest.raises(_Terminated):
        _strike()
    await asyncio.sleep(0)
