"""Flow processes that run one flow run after another: what each run may rely on, and what ends with it."""

import asyncio
import multiprocessing
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

import psutil
import pytest

from deployments.flow_process import Order
from deployments.process_pool import Attempt, ProcessPool

_GONE_SECONDS = 10.0


def _play(order: Order, is_retuned: bool, orders: Connection) -> None:
    """What a flow process does, with runs that do as their environment says."""
    while True:
        match order.environment["PREFECT__DO"]:
            case "fail":
                sys.exit(3)
            case "wait":
                signal.pause()
            case _:
                pass
        try:
            orders.send(int(order.environment.get("PREFECT__BYTES", 1)))
            order = orders.recv()
        except (EOFError, OSError):
            return


class Clock:
    """A clock that is set by hand."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pool(clock: Clock) -> Any:
    made = ProcessPool(multiprocessing.get_context("forkserver"), clock, _play)
    yield made
    made.retire_idle(0.0)


async def _run(
    pool: ProcessPool, do: str = "nothing", *, begun: Callable[[Attempt], None] = lambda _: None, **environment: str
) -> Attempt:
    attempts: list[Attempt] = []

    def note(attempt: Attempt) -> None:
        attempts.append(attempt)
        begun(attempt)

    await pool.run(Order({"PREFECT__DO": do, **environment}, "/"), False, note)
    return attempts[0]


def _has_gone(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        psutil.Process(pid).wait(_GONE_SECONDS)
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def test_a_process_that_has_run_one_runs_the_next(pool: ProcessPool) -> None:
    first, second = await _run(pool), await _run(pool)
    assert (first.exitcode, second.exitcode) == (0, 0)
    assert first.pid == second.pid


async def test_runs_at_the_same_time_have_a_process_each(pool: ProcessPool) -> None:
    attempts = await asyncio.gather(_run(pool), _run(pool))
    assert len({attempt.pid for attempt in attempts}) == 2


async def test_a_run_with_other_settings_has_another_process(pool: ProcessPool) -> None:
    first = await _run(pool, KNOWLEDGE_CHAT__MODEL="one")
    assert (await _run(pool, KNOWLEDGE_CHAT__MODEL="other")).pid != first.pid
    assert (await _run(pool, KNOWLEDGE_CHAT__MODEL="one")).pid == first.pid


async def test_a_run_that_ends_its_process_says_how_and_the_next_has_a_new_one(pool: ProcessPool) -> None:
    first = await _run(pool)
    failed = await _run(pool, "fail")
    assert (failed.pid, failed.exitcode) == (first.pid, 3)
    assert (await _run(pool)).pid != first.pid


async def test_a_killed_run_says_so(pool: ProcessPool) -> None:
    killed = await _run(pool, "wait", begun=lambda attempt: attempt.hard_kill(attempt.pid))
    assert killed.exitcode == -signal.SIGKILL


async def test_what_is_meant_for_a_run_that_is_over_does_not_reach_the_next(pool: ProcessPool) -> None:
    over = await _run(pool)
    assert not over.is_alive(over.pid)
    over.graceful_kill(over.pid)
    over.hard_kill(over.pid)
    assert (await _run(pool)).pid == over.pid


async def test_a_process_that_was_told_to_end_runs_nothing_more(pool: ProcessPool) -> None:
    def tell(attempt: Attempt) -> None:
        attempt.is_told_to_end = True

    told = await _run(pool, begun=tell)
    assert told.exitcode == 0
    assert (await _run(pool)).pid != told.pid
    assert _has_gone(told.pid)


async def test_a_process_that_died_while_it_waited_costs_no_run(pool: ProcessPool) -> None:
    first = await _run(pool)
    psutil.Process(first.pid).kill()
    assert _has_gone(first.pid)
    second = await _run(pool)
    assert second.pid != first.pid
    assert second.exitcode == 0


async def test_a_process_that_has_grown_or_has_run_many_goes(pool: ProcessPool) -> None:
    grown = await _run(pool, PREFECT__BYTES="500000000")
    pids = [(await _run(pool)).pid for _ in range(26)]
    assert grown.pid not in pids
    assert len(set(pids)) == 2
    assert pids.count(pids[0]) == 25
    assert _has_gone(grown.pid)


async def test_a_process_that_has_nothing_to_do_goes_after_a_while(pool: ProcessPool, clock: Clock) -> None:
    first = await _run(pool)
    pool.retire_idle()
    assert psutil.pid_exists(first.pid)
    clock.seconds = 21.0
    pool.retire_idle()
    assert _has_gone(first.pid)


async def test_whoever_stops_waiting_for_a_run_ends_it(pool: ProcessPool) -> None:
    begun = asyncio.Event()
    attempts: list[Attempt] = []

    def note(attempt: Attempt) -> None:
        attempts.append(attempt)
        begun.set()

    running = asyncio.create_task(_run(pool, "wait", begun=note))
    await begun.wait()
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    assert _has_gone(attempts[0].pid)
