"""Calls that share a task run: each has its own outcome and its own attempts, and waits for no other."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import pytest

from tasks.groups import Group, Grouping, GroupOver
from tests.virtual_time import run_virtually

RETRIES = 2
DELAY_SECONDS = 10.0


@dataclass
class PlayedTasks:
    """Runs groups as Prefect does: again, after a delay, while retries are left. Doubles numbers, or fails."""

    errors: dict[int, list[Exception]] = field(default_factory=dict[int, list[Exception]])
    made: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    groups: list[Group[int]] = field(default_factory=list[Group[int]])
    ended: list[str] = field(default_factory=list[str])
    slow: dict[int, asyncio.Event] = field(default_factory=dict[int, asyncio.Event])
    failed: Counter[int] = field(default_factory=Counter[int])

    async def run(self, group: Group[int]) -> None:
        self.groups.append(group)
        for left in reversed(range(RETRIES - group.failed + 1)):
            try:
                await group.run()
            except ConnectionError:
                if not left:
                    raise
                await asyncio.sleep(DELAY_SECONDS)
            except BaseException as error:
                self.ended.append(type(error).__name__)
                raise
            else:
                break
        self.ended.append("completed")

    async def make(self, call: int) -> int:
        self.made.append((asyncio.get_running_loop().time(), call))
        if call in self.slow:
            await self.slow[call].wait()
        if self.errors.get(call):
            self.failed[call] += 1
            raise self.errors[call].pop(0)
        return 2 * call

    def failed_attempts(self, call: int, error: Exception) -> int | None:
        failed = self.failed[call]
        return failed if isinstance(error, ConnectionError) and failed <= RETRIES else None

    def grouping(self, most_calls: int = 16, longest_seconds: float = 60.0, at_once: int | None = None) -> "Calls":
        return Grouping(
            self.run,
            self.make,
            self.failed_attempts,
            most_calls=most_calls,
            longest_seconds=longest_seconds,
            at_once=at_once,
        )

    @property
    def calls(self) -> list[list[int]]:
        """The calls of each task run."""
        return [group.calls for group in self.groups]


Calls = Grouping[int, int]


def _virtually(work: Callable[[], Awaitable[None]]) -> None:
    async def made() -> None:
        await work()

    run_virtually(made())


async def test_calls_share_a_task_run_also_those_that_come_while_it_runs() -> None:
    """Six questions of a document, two at a time, are one task run, not six."""
    tasks = PlayedTasks()
    async with tasks.grouping() as grouping:
        assert await asyncio.gather(*(grouping.call(n) for n in (1, 2))) == [2, 4]
        assert await asyncio.gather(*(grouping.call(n) for n in (3, 4))) == [6, 8]
    assert (tasks.calls, tasks.ended) == ([[1, 2, 3, 4]], ["completed"])


async def test_a_task_run_has_no_more_calls_than_people_can_read() -> None:
    """A document of hundreds of chunks shows how far it is."""
    tasks = PlayedTasks()
    async with tasks.grouping(most_calls=2) as grouping:
        await asyncio.gather(*(grouping.call(n) for n in range(5)))
    assert tasks.calls == [[0, 1], [2, 3], [4]]


def test_a_task_run_takes_in_calls_for_so_long_and_ends_with_its_last_one() -> None:
    """One question that is not answered for minutes holds up nobody else's, and keeps its task run only."""

    async def work() -> None:
        tasks = PlayedTasks(slow={1: asyncio.Event()})
        async with tasks.grouping(longest_seconds=30.0) as grouping:
            slow = asyncio.create_task(grouping.call(1))
            assert await grouping.call(2) == 4
            await asyncio.sleep(31.0)
            assert await grouping.call(3) == 6
            assert tasks.calls == [[2, 1], [3]]
            assert not tasks.ended
            await asyncio.sleep(31.0)
            assert tasks.ended == ["completed"]
            tasks.slow[1].set()
            assert await slow == 2

    _virtually(work)


async def test_no_more_are_made_at_once_than_allowed() -> None:
    """Permits are shared by all documents."""
    tasks = PlayedTasks(slow={n: asyncio.Event() for n in range(3)})
    async with tasks.grouping(at_once=2) as grouping:
        calls = [asyncio.create_task(grouping.call(n)) for n in range(3)]
        while len(tasks.made) < 2:
            await asyncio.sleep(0)
        for _ in range(10):
            await asyncio.sleep(0)
        assert [call for _, call in tasks.made] == [0, 1]
        for event in tasks.slow.values():
            event.set()
        assert await asyncio.gather(*calls) == [0, 2, 4]


async def test_one_that_fails_for_good_keeps_no_other_from_its_outcome() -> None:
    """A chunk that cannot be computed is its own affair, is told what happened to it, and is seen to have failed."""
    tasks = PlayedTasks(errors={3: [ValueError("3 is odd")], 5: [ValueError("5 is odd")]})
    async with tasks.grouping() as grouping:
        together = await asyncio.gather(*(grouping.call(n) for n in (3, 4, 5)), return_exceptions=True)
    assert [str(outcome) for outcome in together] == ["3 is odd", "8", "5 is odd"]
    assert tasks.ended == [GroupOver.__name__]


def test_one_that_may_yet_succeed_is_made_again_alone_while_the_others_go_on() -> None:
    """Its delay is nobody else's; what was answered is not asked again, and those that come later do not wait."""

    async def work() -> None:
        tasks = PlayedTasks(errors={3: [ConnectionError("gone")] * 2})
        async with tasks.grouping() as grouping:
            failing = asyncio.create_task(grouping.call(3))
            assert await asyncio.gather(*(grouping.call(n) for n in (1, 2))) == [2, 4]
            await asyncio.sleep(1.0)
            assert await grouping.call(4) == 8
            assert await failing == 6
        assert tasks.made == [(0, 3), (0, 1), (0, 2), (1, 4), (DELAY_SECONDS, 3), (2 * DELAY_SECONDS, 3)]
        assert tasks.calls == [[3, 1, 2, 4], [3]]
        assert tasks.ended == ["completed", "completed"]

    _virtually(work)


def test_one_that_is_alone_is_made_again_by_its_task_run() -> None:
    """A document of one question shows one task run, with its retries; those that come meanwhile have another."""

    async def work() -> None:
        tasks = PlayedTasks(errors={3: [ConnectionError("gone")]})
        async with tasks.grouping() as grouping:
            failing = asyncio.create_task(grouping.call(3))
            await asyncio.sleep(1.0)
            assert await grouping.call(4) == 8
            assert await failing == 6
        assert tasks.made == [(0, 3), (1, 4), (DELAY_SECONDS, 3)]
        assert tasks.calls == [[3], [4]]

    _virtually(work)


def test_attempts_end_with_the_last_error() -> None:
    """Alone or not, a call has as many attempts as any."""

    async def work() -> None:
        tasks = PlayedTasks(errors={n: [ConnectionError(f"{n} gone")] * 9 for n in (1, 2)})
        async with tasks.grouping() as grouping:
            together = await asyncio.gather(*(grouping.call(n) for n in (1, 2)), return_exceptions=True)
            alone = PlayedTasks(errors={3: [ConnectionError("3 gone")] * 9})
            async with alone.grouping() as lonely:
                with pytest.raises(ConnectionError, match="3 gone"):
                    await lonely.call(3)
        assert [str(outcome) for outcome in together] == ["1 gone", "2 gone"]
        assert Counter(call for _, call in tasks.made) == {1: RETRIES + 1, 2: RETRIES + 1}
        assert [call for _, call in alone.made] == [3] * (RETRIES + 1)

    _virtually(work)


def test_attempts_that_failed_in_earlier_processes_count() -> None:
    """Otherwise each death of a process would give an item all of its attempts again."""

    async def work() -> None:
        tasks = PlayedTasks(errors={3: [ConnectionError("gone")] * 9}, failed=Counter({3: 1}))
        async with tasks.grouping() as grouping:
            with pytest.raises(ConnectionError):
                await grouping.call(3)
        assert len(tasks.made) == RETRIES
        assert [group.failed for group in tasks.groups] == [0, 1]

    _virtually(work)


async def test_a_call_that_is_told_to_stop_is_broken_off() -> None:
    """A run that is cancelled, or has lost its fence, asks no model again; the task run of its calls is broken off."""
    begun, broken_off = asyncio.Event(), asyncio.Event()

    async def make(call: int) -> int:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            broken_off.set()
        return call

    tasks = PlayedTasks()

    async def work() -> None:
        async with Grouping(tasks.run, make, tasks.failed_attempts) as grouping:
            await grouping.call(1)

    running = asyncio.create_task(work())
    await begun.wait()
    running.cancel()
    await asyncio.wait({running})
    assert running.cancelled()
    assert broken_off.is_set()
    assert tasks.ended == ["CancelledError"]


async def test_one_caller_that_leaves_takes_nothing_from_the_others() -> None:
    """They may wait for the same task run to begin."""
    tasks = PlayedTasks()
    async with tasks.grouping() as grouping:
        first, second = (asyncio.create_task(grouping.call(n)) for n in (1, 2))
        await asyncio.sleep(0)
        first.cancel()
        assert await second == 4
    assert first.cancelled()


async def test_calls_that_were_never_made_are_told_why() -> None:
    """When Prefect refuses the task run nobody waits for ever."""

    async def refuse(group: Group[int]) -> None:
        raise PermissionError("not now")

    tasks = PlayedTasks()
    async with Grouping(refuse, tasks.make, tasks.failed_attempts) as grouping:
        outcomes = await asyncio.gather(*(grouping.call(n) for n in (1, 2)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [PermissionError, PermissionError]
    assert not tasks.made
