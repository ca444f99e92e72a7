"""Following executions: nothing lost, nothing twice, in order, whatever breaks off in between."""

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine, text

from knowledge.domain import ExecutionStatistics, ExecutionStatus, ExtractionProgress, Stage
from knowledge.errors import FollowerTooSlow, NotFound, StoreUnavailable
from knowledge.ids import ExecutionId, FlowRunId, OrganizationId, ProgressEventId
from knowledge.progress import ProgressEvent, ProgressStep
from tables.ledger import Ledger
from tables.progress import ProgressJournal
from tables.progress_feed import FollowerLimits
from tables.progress_stream import ProgressListener, ProgressStream
from tables.session import Database
from tables.signals import Signals

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
_SECONDS = 10
BACKENDS = text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'knowledge progress'")


@pytest.fixture
def ledger(database: Database, organization_id: OrganizationId) -> Ledger:
    """The test's own organisation's ledger."""
    return Ledger(database, organization_id)


@pytest.fixture
def execution_id(ledger: Ledger) -> ExecutionId:
    """An execution that is running; that it has begun is its first event."""
    run = FlowRunId(str(uuid.uuid4()))
    return ledger.open_execution(run, document_name="ada", parameters={}, pid=1, host="h").id


@pytest.fixture
async def listener(database: Database) -> AsyncIterator[ProgressListener]:
    """The process's one listener."""
    async with ProgressListener(database) as listening:
        yield listening


@pytest.fixture
def stream(listener: ProgressListener, organization_id: OrganizationId) -> ProgressStream:
    """The test's own organisation's executions."""
    return listener.stream(organization_id)


def step(execution_id: ExecutionId, completed: int, fraction: float | None = None) -> ProgressStep:
    """So many of 100 mentions."""
    progress = ExtractionProgress(Stage.MENTIONS, completed, 100)
    done = completed / 100 if fraction is None else fraction
    return ProgressStep(ProgressEventId.new(), execution_id, progress, done, completed, 0, NOON)


def advance(ledger: Ledger, execution_id: ExecutionId, *completed: int) -> None:
    """A batch of steps."""
    ledger.record_activities([], [step(execution_id, n) for n in completed])


def complete(ledger: Ledger, execution_id: ExecutionId) -> None:
    """The execution's end."""
    ledger.close_execution(execution_id, ExecutionStatus.COMPLETED, None, ExecutionStatistics(model_calls=7))


async def take(stream: ProgressStream, execution_id: ExecutionId, count: int, after: int = 0) -> list[ProgressEvent]:
    """The next events, so many."""
    taken: list[ProgressEvent] = []
    async with asyncio.timeout(_SECONDS), aclosing(stream.subscribe(execution_id, after)) as events:
        async for event in events:
            taken.append(event)
            if len(taken) == count:
                break
    return taken


async def take_all(stream: ProgressStream, execution_id: ExecutionId, after: int = 0) -> list[ProgressEvent]:
    """The events until the execution is over."""
    async with asyncio.timeout(_SECONDS):
        return [event async for event in stream.subscribe(execution_id, after)]


def numbers(events: Sequence[ProgressEvent]) -> list[int]:
    """Their numbers."""
    return [event.number for event in events]


def read_all(database: Database, organization_id: OrganizationId, execution_id: ExecutionId) -> list[ProgressEvent]:
    """The whole journal."""
    return list(ProgressJournal(database, organization_id).read(execution_id, 0, 10_000))


async def test_what_was_is_replayed_and_what_comes_is_followed_to_the_end(
    stream: ProgressStream, ledger: Ledger, execution_id: ExecutionId
) -> None:
    """Who comes late misses nothing, and is told when it is over."""
    advance(ledger, execution_id, 1, 2)
    following = asyncio.create_task(take_all(stream, execution_id))
    await take(stream, execution_id, 3)
    advance(ledger, execution_id, 3)
    complete(ledger, execution_id)
    events = await following
    assert numbers(events) == [1, 2, 3, 4, 5]
    assert [event.current for event in events] == [None, 1, 2, 3, None]
    assert (events[-1].status, events[-1].fraction, events[-1].model_calls) == (ExecutionStatus.COMPLETED, 1.0, 7)


async def test_following_again_goes_on_where_it_was_left(
    stream: ProgressStream, ledger: Ledger, execution_id: ExecutionId
) -> None:
    """A number is all that a follower needs to remember over a reconnect."""
    advance(ledger, execution_id, *range(1, 6))
    first = await take(stream, execution_id, 2)
    complete(ledger, execution_id)
    assert numbers(await take_all(stream, execution_id, after=first[-1].number)) == [3, 4, 5, 6, 7]
    assert await take_all(stream, execution_id, after=7) == []


async def test_a_resumed_execution_is_followed_past_its_earlier_end(
    stream: ProgressStream, ledger: Ledger, execution_id: ExecutionId
) -> None:
    """An end that was taken back is history; only the last one ends the stream."""
    ledger.close_execution(execution_id, ExecutionStatus.FAILED, "it broke", ExecutionStatistics())
    failed = await take_all(stream, execution_id)
    ledger.await_process(execution_id, counted=True)
    complete(ledger, execution_id)
    assert [e.message for e in failed] == ["begun", "it broke"]
    statuses = [event.status.value for event in await take_all(stream, execution_id)]
    assert statuses == ["running", "failed", "pending", "completed"]


def test_no_event_says_less_than_the_one_before(
    database: Database, ledger: Ledger, organization_id: OrganizationId, execution_id: ExecutionId
) -> None:
    """A resumed run replays stored answers from the first on; who watches has seen more already."""
    advance(ledger, execution_id, 10, 40)
    advance(ledger, execution_id, 1, 20, 60)
    fractions = [event.fraction for event in read_all(database, organization_id, execution_id)]
    assert fractions == [0.0, 0.1, 0.4, 0.4, 0.4, 0.6]
    calls = [event.model_calls for event in read_all(database, organization_id, execution_id)]
    assert calls == [0, 10, 40, 40, 40, 60]


def test_numbers_follow_the_order_in_which_events_become_visible(
    database: Database, ledger: Ledger, organization_id: OrganizationId, execution_id: ExecutionId
) -> None:
    """Readers go by number: one that could still be committed below what they have read would be lost to them."""
    seen: list[int] = []
    with ThreadPoolExecutor(6) as pool:
        writers = [pool.submit(advance, ledger, execution_id, n, n) for n in range(40)]
        while not all(writer.done() for writer in writers):
            last = seen[-1] if seen else 0
            read = ProgressJournal(database, organization_id).read(execution_id, last, 1_000)
            seen += numbers(read)
    for writer in writers:
        writer.result()
    seen += numbers(ProgressJournal(database, organization_id).read(execution_id, seen[-1] if seen else 0, 1_000))
    assert seen == list(range(1, 82))
    fractions = [event.fraction for event in read_all(database, organization_id, execution_id)]
    assert fractions == sorted(fractions)


def test_a_batch_that_is_written_again_is_not_told_twice(
    database: Database, ledger: Ledger, organization_id: OrganizationId, execution_id: ExecutionId
) -> None:
    """A connection that breaks at the commit leaves it open whether the batch is there."""
    first, second = step(execution_id, 1), step(execution_id, 2)
    ledger.record_activities([], [first])
    again = [replace(each, is_uncertain=True) for each in (first, second)]
    ledger.record_activities([], again)
    assert [event.current for event in read_all(database, organization_id, execution_id)] == [None, 1, 2]


def test_whatever_changes_the_status_is_told(
    database: Database, ledger: Ledger, organization_id: OrganizationId, execution_id: ExecutionId
) -> None:
    """A stream that does not hear of an end never ends; nothing is told twice that has not changed."""
    signals = Signals(database, organization_id)
    changes: list[Callable[[], object]] = [
        lambda: signals.show(execution_id, ExecutionStatus.PAUSED),
        lambda: ledger.set_aside(execution_id, "the endpoint is down"),
        lambda: ledger.await_process(execution_id, counted=False),
        lambda: signals.cancel(execution_id, "enough"),
    ]
    for change in changes:
        change()
        last = read_all(database, organization_id, execution_id)[-1]
        state = ledger.load(execution_id)
        assert (last.status, last.message) == (state.status, state.error or last.message)
    signals.show(execution_id, ExecutionStatus.CANCELLED)
    signals.cancel(execution_id, "again")
    statuses = [event.status.value for event in read_all(database, organization_id, execution_id)]
    assert statuses == ["running", "paused", "waiting", "pending", "cancelled"]


def test_an_execution_that_waits_or_was_refused_has_a_journal_too(
    database: Database, ledger: Ledger, organization_id: OrganizationId
) -> None:
    """Also what never had a process has something to tell."""
    run = FlowRunId(str(uuid.uuid4()))
    expected = [ledger.expect_execution(run, document_name="ada", parameters={}) for _ in range(2)]
    refused = ledger.refuse("ada", {}, "it is empty")
    told = [read_all(database, organization_id, each.id) for each in (expected[0], refused)]
    assert [[(event.status.value, event.message) for event in events] for events in told] == [
        [("pending", "")],
        [("failed", "it is empty")],
    ]


async def test_another_organisations_execution_is_not_there(
    listener: ProgressListener, stream: ProgressStream, execution_id: ExecutionId
) -> None:
    """Knowing an id is not enough, also while its organisation is following it."""
    following = asyncio.create_task(take(stream, execution_id, 2))
    for stranger in (listener.stream(OrganizationId("stranger")), listener.stream(OrganizationId("another"))):
        with pytest.raises(NotFound):
            await take_all(stranger, execution_id)
    with pytest.raises(NotFound):
        await take_all(stream, ExecutionId.new())
    following.cancel()
    await asyncio.wait({following})


async def test_a_broken_connection_loses_nothing(
    stream: ProgressStream, ledger: Ledger, execution_id: ExecutionId, administrator: Engine
) -> None:
    """What was notified while nobody was listening is read when the connection is back."""
    following = asyncio.create_task(take_all(stream, execution_id))
    await take(stream, execution_id, 1)
    with administrator.begin() as connection:
        assert connection.execute(BACKENDS).all()
    for n in range(1, 30):
        advance(ledger, execution_id, n)
    complete(ledger, execution_id)
    assert numbers(await following) == list(range(1, 32))


async def test_all_followers_share_one_connection_and_one_reading(
    database: Database,
    ledger: Ledger,
    execution_id: ExecutionId,
    organization_id: OrganizationId,
    administrator: Engine,
) -> None:
    """Twenty people at their screens must not be twenty times the load."""
    # Tests before this one may have listeners of their own, which live as long as they do.
    before = await asyncio.to_thread(_listening, administrator)
    async with ProgressListener(database) as listener:
        stream = listener.stream(organization_id)
        all_of_them = [asyncio.create_task(take_all(stream, execution_id)) for _ in range(20)]
        await take(stream, execution_id, 1)
        # Theirs come back when they are broken, and may just have done so.
        assert 1 <= len(await asyncio.to_thread(_listening, administrator) - before) < len(all_of_them) // 4
        advance(ledger, execution_id, 1, 2, 3)
        complete(ledger, execution_id)
        assert {tuple(numbers(events)) for events in await asyncio.gather(*all_of_them)} == {(1, 2, 3, 4, 5)}


def _listening(engine: Engine) -> set[int]:
    """The backends of all listeners to progress."""
    query = text("SELECT pid FROM pg_stat_activity WHERE application_name = 'knowledge progress'")
    with engine.connect() as connection:
        return set(connection.scalars(query))


async def up_to_date(events: AsyncGenerator[ProgressEvent]) -> asyncio.Task[ProgressEvent]:
    """The next event of who has had the only one so far, and now waits for more to be read."""
    assert (await anext(events)).number == 1
    waiting = asyncio.create_task(_next(events))
    await asyncio.sleep(0)
    return waiting


async def _next(events: AsyncGenerator[ProgressEvent]) -> ProgressEvent:
    return await anext(events)


async def test_who_does_not_keep_up_is_told_where_to_go_on_and_others_are_not_held_up(
    database: Database, ledger: Ledger, execution_id: ExecutionId, organization_id: OrganizationId
) -> None:
    """A stuck reader costs nobody else anything, and itself nothing but a reconnect."""
    async with ProgressListener(database, FollowerLimits(events=5)) as listener:
        stream = listener.stream(organization_id)
        async with aclosing(stream.subscribe(execution_id)) as slow, aclosing(stream.subscribe(execution_id)) as quick:
            slow_second, quick_second = await up_to_date(slow), await up_to_date(quick)
            advance(ledger, execution_id, 1)
            assert (await slow_second).number == (await quick_second).number == 2
            quick_third = asyncio.create_task(_next(quick))
            await asyncio.sleep(0)
            advance(ledger, execution_id, *range(2, 10))
            assert (await quick_third).number == 3
            with pytest.raises(FollowerTooSlow, match="after 2") as told:
                await anext(slow)
            complete(ledger, execution_id)
            assert numbers([event async for event in quick]) == list(range(4, 12))
        assert numbers(await take_all(stream, execution_id, told.value.last_number)) == list(range(3, 12))


async def test_who_has_not_taken_anything_for_long_is_dropped(
    database: Database, ledger: Ledger, execution_id: ExecutionId, organization_id: OrganizationId
) -> None:
    """Also when little happens: a reader that is gone must not be kept for ever."""
    clock = [0.0]
    async with ProgressListener(database, FollowerLimits(seconds=60), now=lambda: clock[0]) as listener:
        stream = listener.stream(organization_id)
        async with aclosing(stream.subscribe(execution_id)) as slow, aclosing(stream.subscribe(execution_id)) as quick:
            await anext(slow)
            quick_second = await up_to_date(quick)
            clock[0] = 61.0
            advance(ledger, execution_id, 1)
            await quick_second
            with pytest.raises(FollowerTooSlow, match="after 1"):
                await anext(slow)


async def test_a_database_that_is_away_is_waited_for(
    stream: ProgressStream, ledger: Ledger, execution_id: ExecutionId, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart of PostgreSQL is a pause for who follows, not an end."""
    failures = iter([True] * 2)
    read: Callable[..., tuple[ProgressEvent, ...]] = ProgressJournal.read

    def read_after_a_while(*arguments: object) -> tuple[ProgressEvent, ...]:
        if next(failures, False):
            raise StoreUnavailable("away")
        return read(*arguments)

    monkeypatch.setattr(ProgressJournal, "read", read_after_a_while)
    complete(ledger, execution_id)
    assert numbers(await take_all(stream, execution_id)) == [1, 2]
    assert next(failures, None) is None


def test_the_journal_goes_with_its_execution(
    database: Database, ledger: Ledger, organization_id: OrganizationId, execution_id: ExecutionId
) -> None:
    """There is no other retention: who deletes an execution deletes what was told of it."""
    with database.org_session(organization_id) as session:
        session.execute(text("DELETE FROM knowledge.workflow_execution WHERE id = :id"), {"id": execution_id})
    assert read_all(database, organization_id, execution_id) == []
