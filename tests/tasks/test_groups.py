"""Calls that share a task run: each has its own outcome, and what has one is not run again."""

import asyncio

import pytest

from tasks.groups import Group, Grouping, GroupOver


def quiet(is_set: bool = True) -> asyncio.Event:
    """Whether no more calls are coming."""
    event = asyncio.Event()
    if is_set:
        event.set()
    return event


async def test_calls_that_come_within_a_moment_are_one_group() -> None:
    """Eight chunks that are answered together are one task run of each computed stage, not eight."""
    groups: list[tuple[int, ...]] = []

    async def run(group: Group[int, int]) -> None:
        groups.append(group.calls)
        await group.run(_doubled, _never)

    grouping = Grouping(run, quiet(), settling_seconds=0.0)
    assert await asyncio.gather(*(grouping.call(n) for n in range(4))) == [0, 2, 4, 6]
    assert await grouping.call(5) == 10
    assert groups == [(0, 1, 2, 3), (5,)]


async def test_a_group_waits_while_more_calls_are_coming() -> None:
    """Chunks whose questions are still being answered come soon."""
    groups: list[tuple[int, ...]] = []

    async def run(group: Group[int, int]) -> None:
        groups.append(group.calls)
        await group.run(_doubled, _never)

    event = quiet(False)
    grouping = Grouping(run, event, settling_seconds=0.0, longest_seconds=60.0)
    first = asyncio.create_task(grouping.call(1))
    await asyncio.sleep(0)
    second = asyncio.create_task(grouping.call(2))
    for _ in range(5):
        await asyncio.sleep(0)
    assert groups == []
    event.set()
    assert await asyncio.gather(first, second) == [2, 4]
    assert groups == [(1, 2)]


async def test_a_group_does_not_wait_for_ever() -> None:
    """A question that is not answered for minutes holds up nobody else's chunk."""

    async def run(group: Group[int, int]) -> None:
        await group.run(_doubled, _never)

    grouping = Grouping(run, quiet(False), settling_seconds=0.0, longest_seconds=0.0)
    assert await grouping.call(1) == 2


async def test_one_that_fails_keeps_no_other_from_its_outcome() -> None:
    """A chunk that cannot be computed is its own affair, and is told what happened to it."""

    async def run(group: Group[int, int]) -> None:
        with pytest.raises(GroupOver, match="3 is odd; 5 is odd"):
            await group.run(_halved, _never)

    grouping = Grouping(run, quiet(), settling_seconds=0.0)
    together = await asyncio.gather(*(grouping.call(n) for n in (3, 4, 5)), return_exceptions=True)
    assert [str(outcome) for outcome in together] == ["3 is odd", "2", "5 is odd"]


async def test_who_has_an_outcome_does_not_wait_for_the_others() -> None:
    """One call that waits for its next attempt holds up its own chunk only."""
    release = asyncio.Event()

    async def compute(n: int) -> int:
        if n == 1:
            await release.wait()
        return 2 * n

    async def run(group: Group[int, int]) -> None:
        await group.run(compute, _never, at_once=2)

    grouping = Grouping(run, quiet(), settling_seconds=0.0)
    slow = asyncio.create_task(grouping.call(1))
    assert await grouping.call(2) == 4
    assert not slow.done()
    release.set()
    assert await slow == 2


async def test_a_group_that_is_tried_again_runs_what_may_succeed_and_nothing_else() -> None:
    """Prefect tries a task again as a whole: what was computed stays, and what failed for good is not paid again."""
    ran: list[int] = []
    fails = {3}

    async def compute(n: int) -> int:
        ran.append(n)
        if n == 7:
            raise ValueError("refused")
        if n in fails:
            fails.discard(n)
            raise ConnectionError("gone")
        return 2 * n

    async def run(group: Group[int, int]) -> None:
        with pytest.raises(ConnectionError):
            await group.run(compute, _if_connection)
        await group.run(compute, _if_connection)

    grouping = Grouping(run, quiet(), settling_seconds=0.0)
    outcomes = await asyncio.gather(*(grouping.call(n) for n in (1, 3, 5, 7)), return_exceptions=True)
    assert ran == [1, 3, 5, 7, 3]
    assert outcomes[:3] == [2, 6, 10]
    assert str(outcomes[3]) == "refused"


async def test_a_group_for_which_nobody_waits_any_more_is_given_up() -> None:
    """A run that is cancelled, or has lost its fence, asks no model again; one of whose callers left goes on."""
    begun, given_up = asyncio.Event(), asyncio.Event()

    async def compute(n: int) -> int:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            given_up.set()
        return n

    async def run(group: Group[int, int]) -> None:
        await group.run(compute, _never, at_once=2)

    grouping = Grouping(run, quiet(), settling_seconds=0.0)
    callers = [asyncio.create_task(grouping.call(n)) for n in (1, 2)]
    await begun.wait()
    callers[0].cancel()
    await asyncio.gather(callers[0], return_exceptions=True)
    assert not given_up.is_set()
    callers[1].cancel()
    await asyncio.gather(callers[1], return_exceptions=True)
    await asyncio.wait_for(given_up.wait(), 5)


async def test_calls_that_were_never_run_are_told_why() -> None:
    """When Prefect refuses the task run nobody waits for ever."""

    async def refuse(group: Group[int, int]) -> None:
        raise PermissionError("not now")

    grouping = Grouping(refuse, quiet(), settling_seconds=0.0)
    outcomes = await asyncio.gather(*(grouping.call(n) for n in (1, 2)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [PermissionError, PermissionError]


async def _doubled(n: int) -> int:
    return 2 * n


async def _halved(n: int) -> int:
    if n % 2:
        raise ValueError(f"{n} is odd")
    return n // 2


def _never(call: int, error: Exception) -> bool:
    return False


def _if_connection(call: int, error: Exception) -> bool:
    return isinstance(error, ConnectionError)
