"""The fence on a real PostgreSQL: one holder, seen from outside, and kept through the database's restarts."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import Engine, text

from knowledge.errors import FenceLost, StoreUnavailable
from knowledge.ids import FlowRunId, OrganizationId
from knowledge.signals import SignalName
from tables.fence import Fence, evict, fence_key, held_fences
from tables.ledger import Ledger
from tables.session import Database, create_database
from tables.signals import Signals

_HOLDER = text("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND objid::bigint = :low")
_TERMINATE = text("SELECT pg_terminate_backend(:pid, 5000)")


@asynccontextmanager
async def _taken(database: Database, run: FlowRunId, patience_seconds: float = 5.0) -> AsyncGenerator[Fence]:
    fence = Fence(database, run, patience_seconds)
    assert await fence.take()
    try:
        yield fence
    finally:
        await fence.release()


def _break(administrator: Engine, run: FlowRunId) -> None:
    """Ends the holder's connection, as a restart of PostgreSQL does."""
    with administrator.connect() as connection:
        pid = connection.scalar(_HOLDER, {"low": fence_key(run) & 0xFFFFFFFF})
        assert connection.scalar(_TERMINATE, {"pid": pid})


async def _noticed(fence: Fence) -> None:
    """Returns once the event loop has seen that the connection is closed."""
    while not fence.is_regaining:
        await asyncio.sleep(0)


async def test_a_second_process_is_refused_until_the_first_is_gone(
    database: Database, flow_run_id: Callable[[], FlowRunId]
) -> None:
    """Two processes of one run would ask, and pay, twice."""
    run, other = flow_run_id(), flow_run_id()
    second = Fence(database, run)
    async with _taken(database, run) as first, _taken(database, other):
        assert not await second.take()
        assert held_fences(database, [run]) == {run}
        assert first.holder != second.holder
        await first.held()
    assert held_fences(database, [run, other]) == frozenset()
    assert await second.take()
    await second.release()


async def test_a_broken_connection_is_noticed_and_the_lock_taken_again(
    database: Database, administrator: Engine, flow_run_id: Callable[[], FlowRunId]
) -> None:
    """A restart of PostgreSQL costs a moment's waiting before the next write, and no run."""
    run = flow_run_id()
    async with _taken(database, run) as fence:
        for _ in range(2):
            _break(administrator, run)
            await _noticed(fence)
            await fence.held()
            assert not fence.is_regaining
            assert held_fences(database, [run]) == {run}


async def test_a_run_that_was_taken_over_meanwhile_is_lost(
    database: Database, administrator: Engine, flow_run_id: Callable[[], FlowRunId]
) -> None:
    """The row says whose the run is; a process that was cut off for too long writes nothing more."""
    run = flow_run_id()
    async with _taken(database, run) as fence:
        losses: list[bool] = []
        fence.claim(lambda: False, lambda: losses.append(fence.is_lost))
        _break(administrator, run)
        await _noticed(fence)
        for _ in range(2):
            with pytest.raises(FenceLost):
                await fence.held()
        assert losses == [True]
        assert held_fences(database, [run]) == frozenset()


async def test_a_live_process_can_be_put_out(database: Database, flow_run_id: Callable[[], FlowRunId]) -> None:
    """A user's cancellation reaches a process whose worker has died."""
    run, other = flow_run_id(), flow_run_id()
    async with _taken(database, run) as fence, _taken(database, other) as bystander:
        lost = asyncio.Event()
        fence.claim(lambda: False, lost.set)
        await asyncio.to_thread(evict, database, run)
        await lost.wait()
        await bystander.held()
        assert held_fences(database, [run, other]) == {other}


async def test_a_lock_that_cannot_be_had_again_in_time_is_an_outage(
    database: Database, administrator: Engine, flow_run_id: Callable[[], FlowRunId]
) -> None:
    """Whoever waits to write is told, and leaves the run to recovery."""
    run = flow_run_id()
    other = Fence(database, run)
    async with _taken(database, run, patience_seconds=0.0) as fence:
        taken = asyncio.Event()

        def lose_the_race() -> bool:
            taken.set()
            return True

        fence.claim(lose_the_race, lambda: None)
        with administrator.begin() as rival:
            _break(administrator, run)
            rival.execute(text("SELECT pg_advisory_lock(:key)"), {"key": fence_key(run)})
            await _noticed(fence)
            with pytest.raises(StoreUnavailable):
                await fence.held()
            rival.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": fence_key(run)})
        assert taken.is_set()
    assert await other.take()
    await other.release()


async def test_a_database_that_is_away_cannot_be_asked_for_the_fence(flow_run_id: Callable[[], FlowRunId]) -> None:
    """Nothing is known then, and nothing may be begun."""
    database = create_database("postgresql://postgres@/none?host=/nonexistent")
    with pytest.raises(StoreUnavailable):
        await Fence(database, flow_run_id(), patience_seconds=0.0).take()


def test_keys_of_different_runs_differ(flow_run_id: Callable[[], FlowRunId]) -> None:
    """And those of one run are alike wherever they are made."""
    runs = [flow_run_id() for _ in range(100)]
    assert len({fence_key(run) for run in runs}) == 100
    assert fence_key(FlowRunId("00000000-0000-4000-8000-000000000000")) == fence_key(
        FlowRunId("00000000-0000-4000-8000-000000000000")
    )


async def test_only_one_at_a_time_has_a_purpose_to_itself(database: Database) -> None:
    """Two recoveries at once do not both act on a run."""
    with (
        database.exclusively("this") as first,
        database.exclusively("this") as second,
        database.exclusively("that") as other,
    ):
        assert (first, second, other) == (True, False, True)
    with database.exclusively("this") as again:
        assert again


async def test_news_of_signals_reaches_whoever_holds_a_fence(
    database: Database, administrator: Engine, organization_id: OrganizationId, flow_run_id: Callable[[], FlowRunId]
) -> None:
    """Also after PostgreSQL has restarted; the fence is watched for as long as it is held."""
    run = flow_run_id()
    state = Ledger(database, organization_id).open_execution(run, document_name="d", parameters={}, pid=1, host="h")
    heard: asyncio.Queue[str] = asyncio.Queue()
    async with _taken(database, run) as fence:
        fence.listen(heard.put_nowait)
        signals = Signals(database, organization_id)
        for name in (SignalName.PAUSE, SignalName.RESUME):
            await asyncio.to_thread(signals.send, state.id, name, {}, "ada")
            assert await asyncio.wait_for(heard.get(), 5.0) == state.id
        _break(administrator, run)
        await _noticed(fence)
        await fence.held()
        await asyncio.to_thread(signals.send, state.id, SignalName.PAUSE, {}, "ada")
        assert await asyncio.wait_for(heard.get(), 5.0) == state.id


async def test_a_process_has_one_connection_for_one_fence_after_another(
    database: Database, administrator: Engine, flow_run_id: Callable[[], FlowRunId]
) -> None:
    """To open one takes the database longer than what a fence asks of it; one that broke meanwhile is replaced."""

    def holder(run: FlowRunId) -> int | None:
        with administrator.connect() as connection:
            return connection.scalar(_HOLDER, {"low": fence_key(run) & 0xFFFFFFFF})

    first, second, third = flow_run_id(), flow_run_id(), flow_run_id()
    async with _taken(database, first):
        process = holder(first)
    async with _taken(database, second):
        assert (holder(first), holder(second)) == (None, process)
    with administrator.connect() as connection:
        assert connection.scalar(_TERMINATE, {"pid": process})
    async with _taken(database, third):
        assert holder(third) not in {None, process}
