"""Calls that share a task run: each has its own outcome, and what has one is not run again."""

import asyncio

import pytest

from tasks.groups import Group, Grouping


async def test_calls_that_come_within_a_moment_are_one_group() -> None:
    """Eight chunks that are answered together are one task run of each computed stage, not eight."""
    groups: list[tuple[int, ...]] = []

    async def run(group: Group[int, int]) -> None:
        groups.append(group.calls)
        await group.run(_doubled)

    grouping = Grouping(run, 0.0)
    assert await asyncio.gather(*(grouping.call(n) for n in range(4))) == [0, 2, 4, 6]
    assert await grouping.call(5) == 10
    assert groups == [(0, 1, 2, 3), (5,)]


async def test_one_that_fails_keeps_no_other_from_its_outcome() -> None:
    """A chunk that cannot be computed is its own affair."""

    async def run(group: Group[int, int]) -> None:
        await group.run(_even)

    outcomes = await asyncio.gather(*(Grouping(run, 0.0).call(n) for n in (3, 4)), return_exceptions=True)
    grouping = Grouping(run, 0.0)
    together = await asyncio.gather(*(grouping.call(n) for n in (3, 4)), return_exceptions=True)
    assert [repr(outcome) for outcome in outcomes] == [repr(outcome) for outcome in together]
    assert (type(together[0]), together[1]) == (ValueError, 8)


async def test_a_group_that_is_tried_again_runs_what_failed_and_nothing_else() -> None:
    """Prefect tries a task again as a whole: what was computed and recorded stays."""
    ran: list[int] = []
    fails = {3}

    async def compute(n: int) -> int:
        ran.append(n)
        if n in fails:
            fails.discard(n)
            raise ConnectionError("gone")
        return 2 * n

    group = Group[int, int]([1, 3, 5])
    with pytest.raises(ConnectionError):
        await group.run(compute)
    await group.run(compute)
    assert ran == [1, 3, 5, 3]


async def test_a_group_that_was_never_run_says_why_to_all() -> None:
    """When Prefect refuses the task run nobody waits for ever."""

    async def refuse(group: Group[int, int]) -> None:
        raise PermissionError("not now")

    grouping = Grouping(refuse, 0.0)
    outcomes = await asyncio.gather(*(grouping.call(n) for n in (1, 2)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [PermissionError, PermissionError]


async def _doubled(n: int) -> int:
    return 2 * n


async def _even(n: int) -> int:
    if n % 2:
        raise ValueError("odd")
    return 2 * n
