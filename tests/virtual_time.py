"""An event loop whose clock jumps to the next thing that is due: hours pass in milliseconds, in the right order."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

Result = TypeVar("Result")


class _VirtualTimeLoop(asyncio.SelectorEventLoop):
    _now: float = 0.0
    _ready: Sequence[object]
    _scheduled: Sequence[asyncio.TimerHandle]

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:
            # A timer that is due already is due again only because of rounding: real clocks go on meanwhile.
            due = self._scheduled[0].when()
            self._now = due if due > self._now else self._now + 1e-9
        super()._run_once()  # pyright: ignore[reportUnknownMemberType, reportAttributeAccessIssue]


def run_virtually(work: Coroutine[Any, Any, Result]) -> Result:
    """What `work` returns, run on a clock that starts at 0 and waits for nothing. For work that only waits for time."""
    with asyncio.Runner(loop_factory=_VirtualTimeLoop) as runner:
        return runner.run(work)
