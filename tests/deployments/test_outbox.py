"""What a flow process sends in the background: everything, in its order, and with nothing started for each run."""

import threading
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from prefect._internal.concurrency.services import BatchedQueueService, QueueService
from prefect.events.worker import EventsWorker
from prefect.logging.handlers import APILogWorker
from prefect.settings import PREFECT_LOGGING_TO_API_BATCH_INTERVAL, temporary_settings

from deployments import outbox
from deployments.outbox import flush, send_together

_PATIENCE_SECONDS = 30.0


class Events(EventsWorker):
    """Events that are only noted."""

    def __init__(self, handled: list[object]) -> None:
        self.handled = handled
        self.began = 0
        self._context_cache = {}
        QueueService.__init__(self, id(handled))  # pyright: ignore[reportUnknownMemberType]

    @asynccontextmanager
    async def _lifespan(self) -> AsyncGenerator[None]:
        self.began += 1
        yield

    def _prepare_item(self, event: Any) -> Any:
        return event

    async def _handle(self, event: Any) -> None:
        if event == "bad":
            raise ValueError(event)
        self.handled.append(event)


class Logs(APILogWorker):
    """Logs that are only noted, in their batches."""

    def __init__(self, handled: list[object]) -> None:
        self.handled = handled
        BatchedQueueService.__init__(self, id(handled))  # pyright: ignore[reportUnknownMemberType]

    @property
    def max_batch_size(self) -> int:
        return 3

    @asynccontextmanager
    async def _lifespan(self) -> AsyncGenerator[None]:
        yield

    def _get_size(self, item: Any) -> int:
        return 1

    async def _handle_batch(self, items: list[Any]) -> None:
        self.handled.append(list(items))


@pytest.fixture(autouse=True)
def patched(monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    """Only these services are changed: those of other tests are Prefect's own."""
    base: Any = outbox.services._QueueServiceBase  # pyright: ignore[reportPrivateUsage]
    for kind, name in ((base, "start"), (EventsWorker, "_main_loop"), (APILogWorker, "_main_loop")):
        monkeypatch.setattr(kind, name, getattr(kind, name), raising=True)
    send_together.cache_clear()
    send_together()
    yield
    send_together.cache_clear()


def _started(kind: Any, handled: list[object]) -> Any:
    return kind._new_instance(handled)


def test_events_are_sent_in_their_order_and_one_that_cannot_be_is_left_out() -> None:
    handled: list[object] = []
    service = _started(Events, handled)
    for number in range(5):
        service.send(number)
    service.send("bad")
    flush(_PATIENCE_SECONDS)
    assert handled == [0, 1, 2, 3, 4]
    service.send(5)
    flush(_PATIENCE_SECONDS)
    assert handled[-1] == 5
    assert service.began == 1
    service.wait_until_empty()
    service.drain()


def test_what_is_sent_at_the_end_is_sent_before_the_end() -> None:
    """As when a process exits."""
    handled: list[object] = []
    service = _started(Events, handled)
    service.send("last")
    service.drain()
    assert handled == ["last"]


def test_logs_are_sent_in_batches_at_once_when_somebody_waits_for_them() -> None:
    """Otherwise they wait for others, here for an hour."""
    handled: list[object] = []
    with temporary_settings({PREFECT_LOGGING_TO_API_BATCH_INTERVAL: 3600}):
        service = _started(Logs, handled)
        for number in range(7):
            service.send(number)
        flush(_PATIENCE_SECONDS)
        assert handled == [[0, 1, 2], [3, 4, 5], [6]]
        flush(_PATIENCE_SECONDS)
        service.send(7)
        service.drain()
    assert handled[-1] == [7]


def test_nobody_waits_longer_than_told_for_what_cannot_be_sent() -> None:
    """A server may be away; a process ends all the same."""
    release = threading.Event()

    class Stuck(Events):
        async def _handle(self, event: Any) -> None:
            await outbox.asyncio.to_thread(release.wait)

    service = _started(Stuck, [])
    service.send(1)
    flush(0.01)
    assert not release.is_set()
    release.set()
    service.drain()
