"""What becomes of events on the local stack's server: who takes them, and what each costs on its way.

A document makes some fifty events, and nine out of ten tell of task runs. The recorder of task runs and the triggers of
automations take those off the bus; nobody looks for them in the feed, where each would be a row and six of resources.
"""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, cast
from uuid import UUID

from cachetools import LRUCache
from prefect.server.api import events as events_api
from prefect.server.database import PrefectDBInterface, provide_database_interface
from prefect.server.events import messaging, triggers
from prefect.server.events.ordering.memory import CausalOrdering
from prefect.server.events.schemas.events import ReceivedEvent
from prefect.server.events.services import event_persister
from prefect.server.schemas.core import TaskRun
from prefect.server.services import task_run_recorder
from prefect.server.utilities.messaging import Message, MessageHandler, memory
from prefect.settings import get_current_settings
from prefect.types._datetime import now
from pydantic import model_validator
from sqlalchemy.ext.asyncio import AsyncSession

_OF_TASK_RUNS = "prefect.task-run."
_EVENTS_AT_ONCE = 1_000
"""So many events may be on their way to those who want them; more are parsed again."""


def spare_events() -> None:
    """Have Prefect's server, before its services start, keep and parse no more of events than somebody wants."""
    _leave_task_runs_out_of_the_feed()
    _parse_once()
    _hand_on_uncopied()
    _pass_by_what_triggers_nothing()
    task_run_recorder._insert_task_run_states = _insert_states  # pyright: ignore[reportPrivateUsage]


def _leave_task_runs_out_of_the_feed() -> None:
    """Task runs and their states are rows of their own. The persister is told of everything else."""
    create: Any = event_persister.create_handler

    @asynccontextmanager
    async def create_handler(*arguments: Any, **options: Any) -> AsyncGenerator[MessageHandler]:
        async with create(*arguments, **options) as persist:

            async def persist_unless_of_task_run(message: Message) -> None:
                if not str((message.attributes or {}).get("event", "")).startswith(_OF_TASK_RUNS):
                    await persist(message)

            yield cast(MessageHandler, persist_unless_of_task_run)

    event_persister.create_handler = create_handler


class _SentEvent(ReceivedEvent):
    """An event as a client sends it and as it is received, parsed once. When it was received is ours to say."""

    @model_validator(mode="after")
    def note_receipt(self) -> "_SentEvent":
        changeable: Any = self
        changeable.received = now("UTC")
        return self

    def receive(self, received: Any = None) -> ReceivedEvent:
        return self


def _parse_once() -> None:
    """An event was parsed as sent, made anew as received, and parsed again by whoever takes it off the bus (recorder,
    persister, triggers, streams); none of them changes it."""
    parsed: LRUCache[bytes, ReceivedEvent] = LRUCache(_EVENTS_AT_ONCE)
    event_class: Any = ReceivedEvent
    parse = ReceivedEvent.model_validate_json

    def parse_or_remember(data: bytes | str, **options: Any) -> ReceivedEvent:
        if options or not isinstance(data, bytes):
            return parse(data, **options)
        found = parsed.get(data)
        if found is None:
            found = parsed[data] = parse(data)
        return found

    async def publish_event(self: messaging.EventPublisher, event: ReceivedEvent) -> None:
        if not isinstance(event, _SentEvent):
            await publish(self, event)
            return
        encoded = event.model_dump_json().encode()
        if len(encoded) > _largest_bytes():
            await publish(self, event)
            return
        parsed[encoded] = event
        await self.publish_data(encoded, {"id": str(event.id), "event": event.event})

    publish = messaging.EventPublisher.publish_event
    messaging.EventPublisher.publish_event = publish_event
    event_class.model_validate_json = parse_or_remember
    sent: Any = _SentEvent
    sent.model_validate_json = classmethod(_parse_sent)
    api: Any = events_api
    api.Event = _SentEvent


def _parse_sent(kind: type[_SentEvent], text: str) -> _SentEvent:
    return kind.__pydantic_validator__.validate_json(text)


@cache
def _largest_bytes() -> int:
    return get_current_settings().server.events.maximum_size_bytes


def _hand_on_uncopied() -> None:
    """Each subscriber counts its own tries of a message; the bytes and attributes are the same for all."""

    async def publish(self: memory.Topic, message: memory.MemoryMessage) -> None:
        for subscription in self._subscriptions:  # pyright: ignore[reportPrivateUsage]
            await subscription.deliver(memory.MemoryMessage(message.data, message.attributes))

    memory.Topic.publish = publish


def _pass_by_what_triggers_nothing() -> None:
    """An event that no automation waits for is only noted as seen, if it waits for nothing and nothing for it."""
    evaluate = triggers.reactive_evaluation
    module: Any = triggers
    module.get_triggers_causal_ordering = cache(module.get_triggers_causal_ordering)

    async def evaluate_if_awaited(event: ReceivedEvent, depth: int = 0) -> None:
        ordering: Any = module.get_triggers_causal_ordering()
        is_known = isinstance(ordering, CausalOrdering) and not _is_ordered(ordering, event)
        if is_known and not triggers.find_interested_triggers(event):
            await triggers.update_events_clock(event)
            await ordering.record_event_as_seen(event)
        else:
            await evaluate(event, depth)

    module.reactive_evaluation = evaluate_if_awaited


def _is_ordered(ordering: Any, event: ReceivedEvent) -> bool:
    """Whether the event's turn depends on another's, or another's on it."""
    follows: UUID | None = event.follows
    return (
        event.id in ordering._followers
        or event.id in ordering._waitlist
        or event.id in ordering._processing_events
        or (follows is not None and follows != event.id and follows not in ordering._seen_events)
    )


async def _insert_states(session: AsyncSession, task_runs: list[TaskRun]) -> None:
    """As Prefect's, but the statement is the same however many states there are: it is built and prepared once."""
    db: PrefectDBInterface = provide_database_interface()
    created = now("UTC")
    statement = db.queries.insert(db.TaskRunState).on_conflict_do_nothing(index_elements=["id"])
    rows = [
        {"created": created, "task_run_id": task_run.id, **task_run.state.model_dump()}
        for task_run in task_runs
        if task_run.state is not None
    ]
    await session.execute(statement.execution_options(dml_strategy="raw"), rows)
