"""What a flow process tells Prefect's server beside its requests: events and logs, sent in the background.

Prefect's services take each item off their queue in a thread of their own, and wait for that thread by a cancel scope
and a timer. Here they take what has come together, at most so often, in their event loop. And where Prefect can only
stop them to have everything sent, so that the next run needs new threads, clients and a web socket, they go on here.
"""

import asyncio
import concurrent.futures
import contextlib
import logging
import queue
from collections.abc import Generator, Iterable, Iterator
from functools import cache
from typing import Any

from prefect._internal.concurrency import services
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker

_EVENTS_PAUSE_SECONDS = 0.1
"""Events wait so long for others: who waits for one does not notice, and the flow is interrupted less often."""
_logger = logging.getLogger(__name__)


@cache
def send_together() -> None:
    """Have the services of this process that are started from now on send what has come together."""
    base: Any = services._QueueServiceBase  # pyright: ignore[reportPrivateUsage]
    start = base.start

    def start_with_box(self: Any) -> None:
        self._box = _Box(self._queue, asyncio.get_running_loop())
        start(self)

    base.start = start_with_box
    events: Any = EventsWorker
    events._main_loop = _send_each
    logs: Any = APILogWorker
    logs._main_loop = _send_batches


def flush(timeout_seconds: float) -> None:
    """Has all events and logs sent that there are, for so long at most; called by no event loop."""
    base: Any = services._QueueServiceBase  # pyright: ignore[reportPrivateUsage]
    instances: list[Any] = list(base._instances.values())
    waits = [asyncio.run_coroutine_threadsafe(each._box.emptied(), each._loop) for each in instances if _is_ours(each)]
    concurrent.futures.wait(waits, timeout_seconds)


def _is_ours(service: object) -> bool:
    return isinstance(service, EventsWorker | APILogWorker) and hasattr(service, "_box")


class _Box:
    """A service's queue, as its event loop sees it."""

    def __init__(self, items: "queue.Queue[Any]", loop: asyncio.AbstractEventLoop) -> None:
        self._items = items
        self._loop = loop
        self._filled = asyncio.Event()
        self._hurried = asyncio.Event()
        self._is_idle = asyncio.Event()
        put = items.put_nowait

        def put_and_tell(item: Any) -> None:
            put(item)
            # Where the loop has ended, nothing is sent any more.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(self._tell, item is None)

        changeable: Any = items
        changeable.put_nowait = put_and_tell

    def _tell(self, is_last: bool) -> None:
        self._is_idle.clear()
        self._filled.set()
        if is_last:
            self._hurried.set()

    async def take(self, pause_seconds: float) -> list[Any]:
        """What is there `pause_seconds` after something is, or as soon as somebody waits for it."""
        if self._items.empty():
            self._is_idle.set()
        await self._filled.wait()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._hurried.wait(), pause_seconds)
        self._filled.clear()
        self._hurried.clear()
        return list(self._taken())

    def _taken(self) -> Iterator[Any]:
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._items.get_nowait()

    async def emptied(self) -> None:
        """Returns when everything that was there has been dealt with."""
        if not self._is_idle.is_set():
            self._hurried.set()
        await self._is_idle.wait()


async def _send_each(self: Any) -> None:
    is_over = False
    while not is_over:
        for item in await self._box.take(_EVENTS_PAUSE_SECONDS):
            if item is None:
                is_over = True
            else:
                with _reported(self, 1):
                    await self._handle(item)
            self._queue.task_done()


async def _send_batches(self: Any) -> None:
    is_over = False
    while not is_over:
        items = await self._box.take(self.min_interval or 0.0)
        is_over = None in items
        for batch in _batches(self, (item for item in items if item is not None)):
            with _reported(self, len(batch)):
                await self._handle_batch(batch)


def _batches(service: Any, items: Iterable[Any]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    size = 0
    for item in items:
        batch.append(item)
        size += service._get_size(item)
        if size >= service.max_batch_size:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


@contextlib.contextmanager
def _reported(service: object, items: int) -> Generator[None]:
    """What cannot be sent is not sent: the run goes on."""
    try:
        yield
    except Exception:
        is_debugged = _logger.isEnabledFor(logging.DEBUG)
        _logger.error("%s could not send %d items", type(service).__name__, items, exc_info=is_debugged)
