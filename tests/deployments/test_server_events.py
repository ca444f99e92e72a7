"""What the local stack's server does less with events: whoever wants one gets it, in order and as before."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.events.schemas.events import Event
from prefect.server.api import events
from prefect.server.events import messaging
from prefect.server.events import triggers as evaluation
from prefect.server.events.ordering.memory import CausalOrdering
from prefect.server.events.schemas.events import ReceivedEvent
from prefect.server.events.services import event_persister
from prefect.server.utilities.messaging import memory
from prefect.types._datetime import now

from deployments.server_events import spare_events

events_api: Any = events
triggers: Any = evaluation


@pytest.fixture(autouse=True, scope="module")
def spared() -> None:
    spare_events()


def _event(name: str = "e", **more: Any) -> Event:
    return Event(event=name, resource={"prefect.resource.id": "r"}, payload={"n": [1, None]}, **more)  # type: ignore[arg-type]


async def _published(*sent: Event) -> list[memory.MemoryMessage]:
    """What subscribers of the bus get, each event sent by a client."""
    topic = memory.Topic.by_name("events")
    first, second = topic.subscribe(), topic.subscribe()
    try:
        async with messaging.create_event_publisher() as publisher:
            for event in sent:
                parsed = events_api.Event.model_validate_json(event.model_dump_json())
                await publisher.publish_event(parsed.receive())
        messages = [await first.get() for _ in sent]
        assert [await second.get() for _ in sent] == messages
    finally:
        topic.unsubscribe(first)
        topic.unsubscribe(second)
    return messages


async def test_an_event_is_parsed_once_for_all_who_take_it() -> None:
    event = ReceivedEvent.model_validate_json(_event().model_dump_json())
    encoded = event.model_dump_json().encode()
    taken = ReceivedEvent.model_validate_json(encoded)
    assert taken == event
    assert ReceivedEvent.model_validate_json(bytes(bytearray(encoded))) is taken


async def test_what_is_taken_off_the_bus_is_what_was_sent_and_when_it_was_received_is_the_servers_to_say() -> None:
    sent = _event(related=[{"prefect.resource.id": "x", "prefect.resource.role": "y"}], follows=uuid4())
    (message,) = await _published(sent)
    assert message.attributes == {"id": str(sent.id), "event": sent.event}
    taken = ReceivedEvent.model_validate_json(message.data)
    assert taken.model_dump(mode="json", exclude={"received"}) == sent.model_dump(mode="json")
    parse: Any = ReceivedEvent.__pydantic_validator__
    assert parse.validate_json(message.data) == taken
    lying = sent.model_dump_json()[:-1] + ',"received":"2001-01-01T00:00:00Z"}'
    assert events_api.Event.model_validate_json(lying).receive().received.year > 2001


async def test_an_event_that_is_no_event_is_refused_and_one_that_is_too_large_is_not_handed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(ValueError, match="resource"):
        events_api.Event.model_validate_json('{"event": "e"}')
    handed_on: list[bytes] = []

    async def note(self: object, data: bytes, attributes: object) -> None:
        handed_on.append(data)

    monkeypatch.setattr(messaging.EventPublisher, "publish_data", note)
    async with messaging.create_event_publisher() as publisher:
        for size in (10, 3_000_000):
            large = _event().model_copy(update={"payload": {"t": "x" * size}})
            await publisher.publish_event(events_api.Event.model_validate_json(large.model_dump_json()).receive())
    assert len(handed_on) == 1


async def test_the_feed_keeps_all_events_but_those_of_task_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The handler that Prefect's persister makes for itself is ours; the recorder of task runs has its own."""
    kept: list[str] = []

    async def keep(session: object, events: list[ReceivedEvent]) -> None:
        kept.extend(event.event for event in events)

    class Session:
        async def commit(self) -> None:
            pass

    class Interface:
        @asynccontextmanager
        async def session_context(self) -> AsyncGenerator[Session]:
            yield Session()

    monkeypatch.setattr(event_persister, "write_events", keep)
    monkeypatch.setattr(event_persister, "provide_database_interface", Interface)
    names = ["prefect.flow-run.Running", "prefect.task-run.Running", "knowledge.extraction.completed", "prefect.task"]
    messages = await _published(*map(_event, names))
    async with event_persister.create_handler() as handle:
        for message in messages:
            await handle(message)
    assert kept == [name for name in names if name != "prefect.task-run.Running"]


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> list[UUID]:
    """The events that triggers were asked about in full, in order; they are interested in `wanted` ones."""
    CausalOrdering.clear_all_scopes()
    triggers.get_triggers_causal_ordering.cache_clear()
    found: list[UUID] = []

    def interested(event: ReceivedEvent) -> list[Any]:
        if event.event == "wanted" and event.id not in found:
            found.append(event.id)
        return []

    monkeypatch.setattr(triggers, "find_interested_triggers", interested)
    return found


def _received(name: str, follows: UUID | None = None) -> ReceivedEvent:
    return ReceivedEvent.model_validate(
        {
            "event": name,
            "resource": {"prefect.resource.id": "r"},
            "id": uuid4(),
            "follows": follows,
            "occurred": now("UTC"),
        }
    )


async def test_triggers_see_events_after_those_that_they_follow_whoever_is_interested_in_which(
    evaluated: list[UUID],
) -> None:
    """An uninteresting event in between, or one that comes late, changes nothing about the order."""
    first = _received("wanted")
    between = _received("passed by", first.id)
    last = _received("wanted", between.id)
    for early in (last, between):
        with pytest.raises(triggers.EventArrivedEarly):
            await triggers.reactive_evaluation(early)
    assert evaluated == []
    await triggers.reactive_evaluation(first)
    assert evaluated == [first.id, last.id]
    ordering: Any = triggers.get_triggers_causal_ordering()
    assert not ordering._waitlist
    assert not ordering._followers
    assert not ordering._processing_events
    assert all([await ordering.event_has_been_seen(event) for event in (first, between, last)])


async def test_an_event_that_triggers_nothing_is_seen_and_moves_the_clock(evaluated: list[UUID]) -> None:
    event = _received("passed by")
    await triggers.reset_events_clock()
    await triggers.reactive_evaluation(event)
    assert await triggers.get_triggers_causal_ordering().event_has_been_seen(event)
    assert await triggers.get_events_clock() is not None
    follower = _received("wanted", event.id)
    await triggers.reactive_evaluation(follower)
    assert evaluated == [follower.id]
