"""Leased permits: bounded over processes, used to the full, given back, and cut off rather than exceeded."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from resilience.leases import LeasedPermits, LeaseTiming, PermitLostError
from tests.virtual_time import run_virtually

QUICK = LeaseTiming(
    duration=0.5,
    renewal=0.02,
    margin=0.4,
    turn=0.05,
    linger=0.005,
    contended_linger=0.005,
    pause=0.01,
    poll=0.005,
    patience=0.005,
)


@dataclass
class FakeService:
    """A limit of `slots` slots, as a server would keep it; not to be reached unless `up`."""

    slots: int
    up: bool = True
    leases: set[str] = field(default_factory=set[str])
    given: int = 0
    renewed: int = 0
    peak: int = 0

    async def acquire(self) -> str | None:
        self._answer()
        if len(self.leases) >= self.slots:
            return None
        self.given += 1
        self.leases.add(str(self.given))
        self.peak = max(self.peak, len(self.leases))
        return str(self.given)

    async def renew(self, lease_id: str) -> None:
        self._answer()
        self.renewed += 1

    async def release(self, lease_id: str) -> None:
        self._answer()
        self.leases.remove(lease_id)

    def _answer(self) -> None:
        if not self.up:
            raise OSError("nobody there")


@dataclass
class Gauge:
    """How many calls are in flight, over all that share it."""

    now: int = 0
    peak: int = 0

    @asynccontextmanager
    async def call(self) -> AsyncGenerator[None]:
        self.now += 1
        self.peak = max(self.peak, self.now)
        try:
            yield
        finally:
            self.now -= 1


async def _work(permits: LeasedPermits, gauge: Gauge, calls: int) -> None:
    async def call() -> None:
        async with permits.permit(), gauge.call():
            await asyncio.sleep(0)

    await asyncio.gather(*(call() for _ in range(calls)))


async def test_three_processes_never_exceed_the_limit_and_all_finish() -> None:
    """The limit is the server's; nobody starves."""
    service, gauge = FakeService(5), Gauge()
    shared = [LeasedPermits(service, 5, QUICK) for _ in range(3)]
    async with shared[0], shared[1], shared[2]:
        await asyncio.gather(*(_work(permits, gauge, 200) for permits in shared))
    assert gauge.peak <= 5
    assert service.peak == 5
    assert not service.leases


async def test_many_calls_run_through_each_lease() -> None:
    """That is the point: a lease a call would be a round trip a call."""
    service = FakeService(2)
    async with LeasedPermits(service, 2, QUICK) as permits:
        await _work(permits, Gauge(), 200)
    assert service.given < 100


async def test_a_process_without_work_gives_its_slots_back() -> None:
    """Idle slots belong to others."""
    service = FakeService(2)
    async with LeasedPermits(service, 2, QUICK) as permits:
        await _work(permits, Gauge(), 10)
        async with asyncio.timeout(2):
            while service.leases:
                await asyncio.sleep(0.001)


async def test_twenty_callers_of_five_permits_are_five_held_and_fifteen_queued() -> None:
    """An operator can see who waits."""
    finish = asyncio.Event()

    async def call(permits: LeasedPermits) -> None:
        async with permits.permit():
            await finish.wait()

    async with LeasedPermits(FakeService(5), 5, QUICK) as permits:
        callers = [asyncio.create_task(call(permits)) for _ in range(20)]
        async with asyncio.timeout(2):
            while permits.held < 5:
                await asyncio.sleep(0.001)
        assert (permits.held, permits.queued) == (5, 15)
        finish.set()
        await asyncio.gather(*callers)


async def test_a_long_call_keeps_its_lease_by_renewing_it() -> None:
    """Models can take longer than a lease runs."""
    service = FakeService(1)
    async with LeasedPermits(service, 1, QUICK) as permits, permits.permit():
        async with asyncio.timeout(2):
            while service.renewed < 20:
                await asyncio.sleep(0.001)


async def test_a_call_is_cut_off_before_a_lease_that_cannot_be_renewed_runs_out() -> None:
    """Else the server would give its slot to another while it still runs."""
    service = FakeService(1)

    async def call(permits: LeasedPermits) -> None:
        async with permits.permit():
            service.up = False
            await asyncio.sleep(60)

    async with LeasedPermits(service, 1, QUICK) as permits:
        with pytest.raises(PermitLostError):
            async with asyncio.timeout(QUICK.duration):
                await call(permits)
        service.up = True


async def test_callers_wait_while_the_server_is_away() -> None:
    """A server restart costs a wait, not a call."""
    service = FakeService(1, up=False)
    async with LeasedPermits(service, 1, QUICK) as permits:
        waiting = asyncio.create_task(_work(permits, Gauge(), 3))
        while not permits.queued:
            await asyncio.sleep(0)
        service.up = True
        async with asyncio.timeout(2):
            await waiting


async def test_a_cancelled_caller_leaves_the_queue_and_no_permit_is_lost() -> None:
    """Cancelled runs must not use up the limit."""
    service, finish = FakeService(1), asyncio.Event()

    async def call(permits: LeasedPermits) -> None:
        async with permits.permit():
            await finish.wait()

    async with LeasedPermits(service, 1, QUICK) as permits:
        first, second = asyncio.create_task(call(permits)), asyncio.create_task(call(permits))
        while permits.held + permits.queued < 2:
            await asyncio.sleep(0.001)
        for task in (second, first):
            task.cancel()
        await asyncio.gather(first, second, return_exceptions=True)
        assert (permits.held, permits.queued) == (0, 0)
        finish.set()
        async with asyncio.timeout(2):
            await call(permits)


async def test_a_timeout_of_the_callers_own_stays_its_own() -> None:
    """A slow endpoint is not a lost permit."""
    async with LeasedPermits(FakeService(1), 1, QUICK) as permits:
        with pytest.raises(TimeoutError):
            async with permits.permit(), asyncio.timeout(0.01):
                await asyncio.sleep(1)


def _call_at_intervals(service: FakeService, seconds: float, calls: int) -> list[int]:
    """How many leases were held just before each further call, on a virtual clock."""

    async def work() -> list[int]:
        held: list[int] = []
        async with LeasedPermits(service, 5) as permits:
            for _ in range(calls):
                async with permits.permit():
                    await asyncio.sleep(0.05)
                await asyncio.sleep(seconds)
                held.append(len(service.leases))
        return held

    return run_virtually(work())


def test_calls_now_and_then_run_through_one_lease() -> None:
    """A short document has a call every half second, and a lease costs as much as a call."""
    service = FakeService(5)
    held = _call_at_intervals(service, 0.5, 6)
    assert (service.given, held) == (1, [1] * 6)


def _call_at_once(service: FakeService, seconds: float, calls: int) -> None:
    """Calls that take so long, all begun at one moment, on a virtual clock."""

    async def work() -> None:
        async with LeasedPermits(service, 5) as permits:

            async def call() -> None:
                async with permits.permit():
                    await asyncio.sleep(seconds)

            await asyncio.gather(*(call() for _ in range(calls)))

    run_virtually(work())


def test_quick_calls_at_once_follow_each_other_through_one_lease() -> None:
    """A second lease would take longer than the first call."""
    service = FakeService(5)
    _call_at_once(service, 0.05, 2)
    assert service.given == 1


def test_calls_that_would_wait_get_a_slot_each() -> None:
    """What the limit allows is used."""
    service = FakeService(5)
    _call_at_once(service, 1.0, 4)
    assert (service.given, service.peak) == (4, 4)


def test_a_slot_is_given_back_when_the_next_call_is_far() -> None:
    """A process that thinks for seconds keeps nobody waiting."""
    service = FakeService(5)
    assert _call_at_intervals(service, 2.0, 3) == [0] * 3


def test_of_several_slots_without_work_one_is_kept() -> None:
    """The others may be wanted elsewhere."""
    service = FakeService(5)

    async def work() -> int:
        async with LeasedPermits(service, 5) as permits:

            async def call() -> None:
                async with permits.permit():
                    await asyncio.sleep(0.05)

            await asyncio.gather(*(call() for _ in range(5)))
            await asyncio.sleep(0.5)
            return len(service.leases)

    assert run_virtually(work()) == 1


def test_a_slot_that_had_to_be_waited_for_is_not_kept_without_work() -> None:
    """Others wait for it, too."""
    service = FakeService(1)
    service.leases.add("of another process")

    async def work() -> int:
        async with LeasedPermits(service, 1) as permits:

            async def call() -> None:
                async with permits.permit():
                    await asyncio.sleep(0.05)

            waiting = asyncio.create_task(call())
            await asyncio.sleep(0.3)
            service.leases.clear()
            await waiting
            await asyncio.sleep(0.2)
            return len(service.leases)

    assert run_virtually(work()) == 0
