"""Signals as something to wait for, next to descriptors."""

import os
import select
import signal
from collections.abc import Iterable
from types import FrameType, TracebackType
from typing import Self

_STOP = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Wakeups:
    """While entered, a signal to stop is noted instead of obeyed, and every signal (a child's end too) ends a wait."""

    def __init__(self) -> None:
        self.stop_requested = False
        self._reader, self._writer = -1, -1

    def __enter__(self) -> Self:
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(self._writer, False)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in _STOP:
            signal.signal(number, self._note)
        signal.signal(signal.SIGCHLD, _do_nothing)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        signal.set_wakeup_fd(-1)
        for number in (*_STOP, signal.SIGCHLD):
            signal.signal(number, signal.SIG_DFL)
        os.close(self._reader)
        os.close(self._writer)

    def wait(self, timeout_seconds: float, descriptors: Iterable[int] = ()) -> tuple[int, ...]:
        """Those of `descriptors` that can be read now; none if a signal or the timeout ended the wait."""
        watched = [self._reader, *descriptors]
        readable, _, _ = select.select(watched, [], [], max(0.0, timeout_seconds))
        if self._reader in readable:
            os.read(self._reader, 4096)
        return tuple(descriptor for descriptor in readable if descriptor != self._reader)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.stop_requested = True


def _do_nothing(number: int, frame: FrameType | None) -> None:
    """A handler must be set for a signal to wake us."""
