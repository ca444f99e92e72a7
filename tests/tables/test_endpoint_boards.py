"""Processes that share an endpoint, on a real PostgreSQL: what one finds out, all know, and one probes."""

import asyncio
import json
from collections.abc import Callable
from typing import TypeVar
from uuid import uuid4

import pytest
from sqlalchemy import create_engine, text

from resilience.board import EndpointBoard, EndpointState, Failures, Hold, News, Sharers, Standing
from tables.endpoint_boards import EndpointBoards
from tables.endpoints import CHANNEL, EndpointKey, endpoint_standings
from tables.session import Database, sqlalchemy_url

Kind = TypeVar("Kind", Standing, Failures, Sharers)
DOWN = Hold(EndpointState.OPEN, 30.0, 0.0, "503")
DUE = Hold(EndpointState.OPEN, 0.0, 0.0, "503")
_PATIENCE_SECONDS = 20.0
_CONNECTED = "SELECT pid FROM pg_stat_activity WHERE application_name = 'knowledge endpoints'"


@pytest.fixture
def key() -> EndpointKey:
    """An endpoint that no other test uses."""
    return EndpointKey.of("chat", f"http://{uuid4().hex}/v1", "m")


class Hearing:
    """What a board says, to be waited for."""

    def __init__(self, board: EndpointBoard) -> None:
        self.board = board
        self.heard: list[News] = []
        self._more = asyncio.Event()
        board.subscribe(self._hear)

    def _hear(self, news: News) -> None:
        self.heard.append(news)
        self._more.set()

    async def until(self, is_so: Callable[[News], bool]) -> News:
        """The first news of which it is so, heard by now or later."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                for news in self.heard:
                    if is_so(news):
                        return news
                self._more.clear()
                await self._more.wait()


def _is_held(news: News) -> bool:
    return isinstance(news, Standing) and news.hold is not None


def _is_released(news: News) -> bool:
    return isinstance(news, Standing) and news.hold is None


async def test_what_one_process_finds_out_the_others_hear(database: Database, key: EndpointKey) -> None:
    """Down, and up again; and whoever comes later hears how things stand."""
    async with EndpointBoards(database, [key], 60.0) as one, EndpointBoards(database, [key], 60.0) as two:
        hearing = Hearing(two.board(key))
        one.board(key).post_failures(3)
        failures = await hearing.until(lambda news: isinstance(news, Failures))
        assert isinstance(failures, Failures)
        assert failures.count == 3
        one.board(key).post_hold(DOWN)
        held = await hearing.until(_is_held)
        assert isinstance(held, Standing)
        assert held.hold is not None
        assert held.hold.state is EndpointState.OPEN
        assert 25.0 < held.hold.probe_in_seconds <= 30.0
        async with EndpointBoards(database, [key], 60.0) as late:
            await Hearing(late.board(key)).until(_is_held)
        (standing,) = [found for found in endpoint_standings(database) if found.id == key.id]
        assert (standing.state, standing.detail) == (EndpointState.OPEN, "503")
        two.board(key).post_release()
        await Hearing(one.board(key)).until(_is_released)


async def test_one_of_all_processes_probes(database: Database, key: EndpointKey) -> None:
    """When the time has come, everybody asks for the probe at once."""
    async with EndpointBoards(database, [key], 60.0) as one, EndpointBoards(database, [key], 60.0) as two:
        one.board(key).post_hold(DOWN)
        assert not await one.board(key).claim_probe(), "it is not due"
        one.board(key).post_release()
        one.board(key).post_hold(DUE)
        await Hearing(two.board(key)).until(_is_held)
        claimed = await asyncio.gather(*(boards.board(key).claim_probe() for boards in (one, two, one, two)))
        assert sum(claimed) == 1


async def test_a_probe_that_came_to_nothing_may_be_made_by_another(database: Database, key: EndpointKey) -> None:
    """Given back at once; and one whose process has died, when its time is over."""
    async with EndpointBoards(database, [key], 60.0) as one, EndpointBoards(database, [key], 60.0) as two:
        one.board(key).post_hold(DUE)
        assert await one.board(key).claim_probe()
        one.board(key).return_probe()
        hearing = Hearing(two.board(key))
        await hearing.until(lambda news: isinstance(news, Standing) and news.version >= 3)
        assert await two.board(key).claim_probe()
    async with EndpointBoards(database, [key], 0.0) as dying, EndpointBoards(database, [key], 60.0) as other:
        dying.board(key).post_release()
        dying.board(key).post_hold(DUE)
        assert await dying.board(key).claim_probe()
        assert await other.board(key).claim_probe()


async def test_the_probers_word_counts_and_others_cannot_shorten_a_hold(database: Database, key: EndpointKey) -> None:
    """A late refusal of an old call must not send everybody to an endpoint that is down."""
    async with EndpointBoards(database, [key], 60.0) as one, EndpointBoards(database, [key], 60.0) as two:
        one.board(key).post_hold(DOWN)
        await Hearing(two.board(key)).until(_is_held)
        two.board(key).post_hold(Hold(EndpointState.THROTTLED, 0.0, 0.0, "429"))
        assert not await two.board(key).claim_probe()
        (standing,) = [found for found in endpoint_standings(database) if found.id == key.id]
        assert standing.state is EndpointState.OPEN


async def test_a_hold_decided_before_the_endpoint_was_well_again_comes_too_late(
    database: Database, key: EndpointKey
) -> None:
    """Its process heard of neither the outage nor its end when it decided."""
    async with EndpointBoards(database, [key], 60.0) as one:
        late = EndpointBoards(database, [key], 60.0)
        one.board(key).post_hold(DOWN)
        one.board(key).post_release()
        await Hearing(one.board(key)).until(_is_released)
        late.board(key).post_hold(DOWN)
        writer = asyncio.create_task(late._write())  # pyright: ignore[reportPrivateUsage]
        assert await late.ask(lambda rows: rows.read(key)) == Standing(2, None)
        writer.cancel()


async def test_processes_that_share_an_endpoint_know_how_many_they_are(database: Database, key: EndpointKey) -> None:
    """By locks that vanish with whoever held them: each takes its part of the rate."""
    async with EndpointBoards(database, [key], 60.0) as one:
        hearing = Hearing(one.board(key))
        await hearing.until(lambda news: news == Sharers(1))
        async with EndpointBoards(database, [key], 60.0) as two:
            await hearing.until(lambda news: news == Sharers(2))
            await Hearing(two.board(key)).until(lambda news: news == Sharers(2))
            hearing.heard.clear()
        await hearing.until(lambda news: news == Sharers(1))


async def test_where_no_rate_is_bounded_nobody_waits_to_be_counted(database: Database, key: EndpointKey) -> None:
    """A short document would wait for that as long as for its questions; others still count who is there."""
    async with EndpointBoards(database, [key], 60.0) as paced:
        hearing = Hearing(paced.board(key))
        async with EndpointBoards(database, [key], 60.0, shares_rates=False) as free:
            await hearing.until(lambda news: news == Sharers(2))
            heard: list[News] = []
            free.board(key).subscribe(heard.append)
            paced.board(key).post_hold(DOWN)
            await Hearing(free.board(key)).until(_is_held)
            assert not any(isinstance(news, Sharers) for news in heard)


async def test_news_that_comes_with_an_arrival_is_heard(database: Database, key: EndpointKey) -> None:
    """PostgreSQL delivers what was told in one transaction in one packet."""
    async with EndpointBoards(database, [key], 60.0) as one:
        hearing = Hearing(one.board(key))
        # It counts when it begins, and again when it hears of its own arrival; then it waits.
        await hearing.until(lambda news: sum(isinstance(heard, Sharers) for heard in hearing.heard) >= 2)
        failures = {"id": key.id, "process": "another", "failures": 4}
        with database.installation_session() as session:
            for payload in ({"id": key.id}, failures):
                session.execute(
                    text("SELECT pg_notify(:channel, :payload)"), {"channel": CHANNEL, "payload": json.dumps(payload)}
                )
        await hearing.until(lambda news: news == Failures("another", 4))


async def test_a_listener_whose_connection_breaks_catches_up(
    database: Database, database_url: str, key: EndpointKey
) -> None:
    """PostgreSQL restarts, and what happened meanwhile is in the row."""
    async with EndpointBoards(database, [key], 60.0) as one, EndpointBoards(database, [key], 60.0) as two:
        hearing = Hearing(two.board(key))
        engine = create_engine(sqlalchemy_url(database_url), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            one.board(key).post_hold(DOWN)
            ours = "application_name = 'knowledge endpoints'"
            connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {ours}"))
        engine.dispose()
        await hearing.until(_is_held)


async def test_a_process_keeps_its_connection_for_its_next_run(database: Database, key: EndpointKey) -> None:
    """A new one takes the database longer than all that is asked of it. Between runs it counts for nobody."""

    def connections() -> set[int]:
        with database.operator_session() as session:
            return set(session.scalars(text(_CONNECTED)))

    async with EndpointBoards(database, [key], 60.0) as other:
        hearing = Hearing(other.board(key))
        async with EndpointBoards(database, [key], 60.0):
            await hearing.until(lambda news: news == Sharers(2))
            used = connections()
        hearing.heard.clear()
        await hearing.until(lambda news: news == Sharers(1))
        other.board(key).post_failures(3)
        async with EndpointBoards(database, [key], 60.0) as again:
            assert connections() == used
            heard = Hearing(again.board(key))
            other.board(key).post_hold(DOWN)
            await heard.until(_is_held)
            assert not any(isinstance(news, Failures) for news in heard.heard), "what was said before is not heard"
