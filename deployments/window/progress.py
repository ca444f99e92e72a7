"""Progress as server-sent events: each with its number as id, so that who comes back goes on where they were."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from functools import lru_cache
from http import HTTPStatus
from typing import Annotated, Any, TypeVar

from anyio import CancelScope
from fastapi import APIRouter, Depends, Header, Query, Request, Response
from sse_starlette.sse import EventSourceResponse

from deployments.window.access import OpenDatabase, Token
from deployments.window.executions import (
    MISSING,
    PROBLEMS,
    Responses,
    ThatExecution,
    refuse_unknown_parameters,
)
from deployments.window.limits import WindowLimits
from deployments.window.problems import Refusal
from deployments.window.views import ProgressView
from knowledge.errors import FollowerTooSlow, NotFound, StoreUnavailable
from knowledge.ids import ExecutionId, TokenId
from knowledge.progress import ProgressEvent
from tables.progress import ProgressJournal
from tables.progress_stream import ProgressListener
from tables.session import Database
from tables.tokens import AccessToken, AccessTokens

_LAST = 2**31 - 1
_RETRY_MILLISECONDS = 1000
_GREETING = f"retry: {_RETRY_MILLISECONDS}\n\n".encode()
_HEARTBEAT = b": still here\n\n"
_REVOKED = b": this token lets nobody in any more\n\n"
_EVENT: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "pattern": "^[0-9]+$"},
        "data": {
            "type": "string",
            "contentMediaType": "application/json",
            "contentSchema": ProgressView.model_json_schema(ref_template="#/components/schemas/{model}"),
        },
    },
    "required": ["data"],
}
_STREAM: Responses = {
    200: {
        "description": "Events as they come; each has its number as `id` and a JSON object as `data`. The stream ends "
        "after the event whose `status` is completed, failed or cancelled.",
        "content": {"text/event-stream": {"schema": _EVENT}},
    },
    204: {"description": "The execution is over and has no later events: do not come back."},
}
Value = TypeVar("Value")

router = APIRouter(responses={**PROBLEMS, **MISSING}, dependencies=[Depends(refuse_unknown_parameters)])


@router.get("/executions/{execution_id}/progress", response_class=Response, responses=_STREAM)
async def follow_progress(
    execution_id: ThatExecution,
    token: Token,
    database: OpenDatabase,
    request: Request,
    after: Annotated[int, Query(ge=0, le=_LAST, description="only events with higher numbers")] = 0,
    last_event_id: Annotated[
        int, Header(ge=0, le=_LAST, description="as `after`; the higher counts. Who comes back sends it")
    ] = 0,
) -> Response:
    """What has happened to an execution, and then what happens to it, as server-sent events."""
    after = max(after, last_event_id)
    journal = ProgressJournal(database, token.organization_id)
    head = await asyncio.to_thread(journal.head, execution_id)
    if head.is_over and after >= head.number:
        return Response(status_code=HTTPStatus.NO_CONTENT)
    watch: Watch = request.app.state.watch
    return watch.respond(token, execution_id, after)


class Watch:
    """Those who watch executions through this window."""

    def __init__(self, database: Database, listener: ProgressListener, limits: WindowLimits) -> None:
        self._database = database
        self._listener = listener
        self._limits = limits
        self._streams = 0

    @property
    def streams(self) -> int:
        """How many are open."""
        return self._streams

    def respond(self, token: AccessToken, execution_id: ExecutionId, after: int) -> EventSourceResponse:
        """The stream of the execution's events.

        Raises:
            Refusal: 503, too many are watching.
        """
        if self._streams >= self._limits.streams:
            raise Refusal(HTTPStatus.SERVICE_UNAVAILABLE, "too many are watching: try again", {"Retry-After": "10"})
        body = self._events(token, execution_id, after)
        return EventSourceResponse(body, ping=0, send_timeout=self._limits.send_seconds)

    async def _events(self, token: AccessToken, execution_id: ExecutionId, after: int) -> AsyncGenerator[bytes]:
        self._streams += 1
        batches = self._listener.stream(token.organization_id).batches(execution_id, after)
        pause, checked = self._limits.heartbeat_seconds, time.monotonic()
        try:
            yield _GREETING
            async with aclosing(with_pauses(batches, pause)) as paused:
                async for events in paused:
                    yield _HEARTBEAT if events is None else b"".join(map(encoded, events))
                    if time.monotonic() - checked >= pause and not await self._is_still_good(token):
                        yield _REVOKED
                        return
        except (FollowerTooSlow, NotFound) as error:
            yield f": {error.message}\n\n".encode()
        finally:
            self._streams -= 1
            with CancelScope(shield=True):
                await batches.aclose()

    async def _is_still_good(self, token: AccessToken) -> bool:
        tokens = AccessTokens(self._database, token.organization_id)
        try:
            return await asyncio.to_thread(tokens.is_good, TokenId(token.id))
        except StoreUnavailable:
            return True


@lru_cache(maxsize=4096)
def encoded(event: ProgressEvent) -> bytes:
    """The event on the wire. Many may be waiting for the same."""
    return f"id: {event.number}\ndata: {json.dumps(event.as_json(), ensure_ascii=False)}\n\n".encode()


async def with_pauses(values: AsyncIterator[Value], seconds: float) -> AsyncGenerator[Value | None]:
    """The values as they come, and None whenever none has come for so long."""
    coming: asyncio.Task[Value] | None = None
    try:
        while True:
            coming = coming or asyncio.ensure_future(_next(values))
            done, _ = await asyncio.wait({coming}, timeout=seconds)
            if not done:
                yield None
                continue
            try:
                value = coming.result()
            except StopAsyncIteration:
                return
            coming = None
            yield value
    finally:
        if coming is not None:
            coming.cancel()
            # Who is cancelled is cancelled again at each await, and would leave the values behind in the middle.
            with CancelScope(shield=True):
                await asyncio.wait({coming})


async def _next(values: AsyncIterator[Value]) -> Value:
    return await anext(values)
