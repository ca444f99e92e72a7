"""The HTTP window on a real port, for tests that read it as strangers do."""

import socket
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import uvicorn
from fastapi import FastAPI

_START_SECONDS = 10


@contextmanager
def served(app: FastAPI) -> Generator[str]:
    """The URL at which the app is served, in a thread, until the block ends."""
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=2))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(timeout=_START_SECONDS)


@dataclass(frozen=True, slots=True)
class Told:
    """A server-sent event."""

    id: int
    data: str


@contextmanager
def followed(
    url: str, token: str, execution_id: str, last_event_id: int | None = None, seconds: float = 10
) -> Generator[httpx.Response]:
    """The open response of a stream of progress, on which something comes within so many seconds each time."""
    headers = {"Authorization": f"Bearer {token}"}
    if last_event_id is not None:
        headers["Last-Event-ID"] = str(last_event_id)
    address = f"{url}/executions/{execution_id}/progress"
    with httpx.stream("GET", address, headers=headers, timeout=seconds) as response:
        yield response


def told(response: httpx.Response) -> Iterator[Told]:
    """The events of a stream, as they come; comments are left out."""
    number = 0
    for line in response.iter_lines():
        name, _, value = line.partition(": ")
        if name == "id":
            number = int(value)
        elif name == "data":
            yield Told(number, value)
