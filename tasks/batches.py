"""Calls that share round trips to the database: many stored answers read, or written, at once."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

Value = TypeVar("Value")
Outcome = TypeVar("Outcome")


class Batches(Generic[Value, Outcome]):
    """What comes in while a batch is under way, or within `settling_seconds`, goes into the next one.

    `work` is called in a thread, with values by key, and answers with an outcome for each key. Use it in one event
    loop.
    """

    def __init__(
        self, work: Callable[[Mapping[str, Value]], Mapping[str, Outcome]], settling_seconds: float = 0.0
    ) -> None:
        self._work = work
        self._settling_seconds = settling_seconds
        self._waiting: dict[str, tuple[Value, asyncio.Future[Outcome]]] = {}
        self._worker: asyncio.Task[None] | None = None

    async def call(self, key: str, value: Value) -> Outcome:
        """The outcome of this key; who comes with a key that waits already shares its outcome.

        Raises: what `work` raises.
        """
        new = (value, asyncio.get_running_loop().create_future())
        _, outcome = self._waiting.setdefault(key, new)
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._work_off())
        # Others may wait for the same key: who is cancelled must not take it from them.
        return await asyncio.shield(outcome)

    async def _work_off(self) -> None:
        while self._waiting:
            await asyncio.sleep(self._settling_seconds)
            batch, self._waiting = self._waiting, {}
            try:
                outcomes = await asyncio.to_thread(self._work, {key: value for key, (value, _) in batch.items()})
            except Exception as error:  # noqa: BLE001 -- whatever it is, it is told to those who wait
                for _, outcome in batch.values():
                    outcome.set_exception(error)
            else:
                for key, (_, outcome) in batch.items():
                    outcome.set_result(outcomes[key])
