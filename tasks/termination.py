"""SIGTERM, heard for certain."""

import asyncio
import signal
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def cancelled_by_sigterm() -> Generator[None]:
    """While entered, SIGTERM cancels the current task, besides what its handler does.

    Prefect's handler raises where the signal happens to arrive. In a callback of the event loop, or in a task
    beside the run's, nobody hears of that, and the run would go on.
    """
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    if task is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    reader, writer = socket.socketpair()
    reader.setblocking(False)
    writer.setblocking(False)

    def hear() -> None:
        # The numbers of the signals that have arrived. A second cancellation would cut the tidying up short.
        if signal.SIGTERM in reader.recv(4096) and not task.cancelling():
            task.cancel()

    with reader, writer:
        previous = signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
        loop.add_reader(reader, hear)
        try:
            yield
        finally:
            loop.remove_reader(reader)
            signal.set_wakeup_fd(previous)
