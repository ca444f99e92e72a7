"""Calls that come together share their round trip; each has an outcome of its own."""

import asyncio
from collections.abc import Mapping

import pytest

from tasks.batches import Batches


def _doubled(values: Mapping[str, int]) -> dict[str, int]:
    return {key: 2 * value for key, value in values.items()}


async def test_calls_that_come_together_are_one_batch() -> None:
    """A thousand stored answers are read in a hundred queries, not in a thousand."""
    seen: list[set[str]] = []

    def work(values: Mapping[str, int]) -> dict[str, int]:
        seen.append(set(values))
        return _doubled(values)

    batches = Batches(work)
    outcomes = await asyncio.gather(*(batches.call(str(n), n) for n in range(8)))
    assert outcomes == [0, 2, 4, 6, 8, 10, 12, 14]
    assert await batches.call("later", 50) == 100
    assert seen == [{str(n) for n in range(8)}, {"later"}]


async def test_an_error_is_told_to_all_of_its_batch_and_to_nobody_else() -> None:
    """A database that was away for a moment answers the next call."""

    def work(values: Mapping[str, int]) -> dict[str, int]:
        if "bad" in values:
            raise ConnectionError("gone")
        return _doubled(values)

    batches = Batches(work)
    outcomes = await asyncio.gather(batches.call("good", 1), batches.call("bad", 1), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [ConnectionError, ConnectionError]
    assert await batches.call("good", 1) == 2


async def test_who_is_cancelled_does_not_take_the_outcome_from_others() -> None:
    """Two chunks may wait for the same answer."""
    batches = Batches(_doubled)
    first, second = (asyncio.create_task(batches.call("key", 4)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert await second == 8
    with pytest.raises(asyncio.CancelledError):
        await first
