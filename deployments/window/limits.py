"""What a request may take, before anything looks at it; and what every response says about itself."""

from dataclasses import dataclass
from http import HTTPStatus

from sse_starlette.sse import SendTimeoutError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.window.problems import problem_response

_HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)


@dataclass(frozen=True, slots=True)
class WindowLimits:
    """How long a body may be, how often a silent stream says that it is there, when a reader is too slow."""

    body_bytes: int = 64 * 1024
    streams: int = 500
    heartbeat_seconds: float = 15.0
    send_seconds: float = 20.0


class BodyLimit:
    """Refuses bodies that are too long, also those that do not say how long they are."""

    def __init__(self, app: ASGIApp, longest: int) -> None:
        self._app = app
        self._longest = longest
        self._problem = f"a body may have at most {longest} bytes"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._longest:
                raise HTTPException(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._problem)
            return message

        if scope["type"] == "http" and _declared_length(scope) > self._longest:
            refusal = problem_response(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, self._problem)
            await refusal(scope, receive, send)
        else:
            await self._app(scope, counted, send)


class Unexceptional:
    """Adds the headers that every response has, and takes a reader who is gone for what it is: no error."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                names = {name.lower() for name, _ in message["headers"]}
                added = [header for header in _HEADERS if header[0] not in names]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        try:
            await self._app(scope, receive, with_headers)
        except SendTimeoutError:
            # It could not be told, because it does not read. It comes back with the number of the last event it has.
            return


def _declared_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit():
            return int(value)
    return 0
