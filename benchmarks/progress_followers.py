"""Those who follow an execution in `benchmarks/progress.py`: in this process, or over HTTP as a browser would."""

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from urllib.parse import urlsplit

from knowledge.errors import FollowerTooSlow
from knowledge.ids import ExecutionId, OrganizationId
from tables.progress_stream import ProgressListener

_AGAIN_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Received:
    """An event's number, how far the stage was (None: the status has changed), and how old it was, in ms."""

    number: int
    current: int | None
    age_ms: float


@dataclass(slots=True)
class Record:
    """All that a follower has received, and how often it has had to come back."""

    received: list[Received] = field(default_factory=list[Received])
    connections: int = 0

    @property
    def last(self) -> int:
        """The number to go on after."""
        return self.received[-1].number if self.received else 0


class Follower(Protocol):
    """Somebody who follows until the execution is over, however often the connection breaks."""

    record: Record

    async def follow(self) -> None:
        """Returns when the execution is over."""
        ...

    async def break_off(self) -> None:
        """Breaks the connection now."""
        ...


class StreamFollower:
    """Follows through the process's ProgressListener."""

    def __init__(self, listener: ProgressListener, organization_id: OrganizationId, execution_id: ExecutionId) -> None:
        self.record = Record()
        self._stream = listener.stream(organization_id)
        self._execution_id = execution_id
        self._turn: asyncio.Task[bool] | None = None

    async def follow(self) -> None:
        """See Follower."""
        while True:
            self._turn = asyncio.create_task(self._take())
            await asyncio.wait({self._turn})
            if not self._turn.cancelled() and self._turn.result():
                return

    async def break_off(self) -> None:
        """See Follower."""
        if self._turn is not None:
            self._turn.cancel()

    async def _take(self) -> bool:
        """Whether the execution is over."""
        self.record.connections += 1
        try:
            async with aclosing(self._stream.batches(self._execution_id, self.record.last)) as batches:
                async for events in batches:
                    now = time.time()
                    self.record.received += [
                        Received(event.number, event.current, 1000 * (now - event.happened_at.timestamp()))
                        for event in events
                    ]
        except FollowerTooSlow:
            return False
        return True


class WebFollower:
    """Follows over HTTP with a bare socket, and comes back with the number of the last event it has."""

    def __init__(self, url: str, token: str, execution_id: ExecutionId) -> None:
        self.record = Record()
        self._address = urlsplit(url)
        self._token = token
        self._execution_id = execution_id
        self._writer: asyncio.StreamWriter | None = None

    async def follow(self) -> None:
        """See Follower."""
        while True:
            with suppress(OSError, asyncio.IncompleteReadError):
                if await self._take():
                    return
            await asyncio.sleep(_AGAIN_SECONDS)

    async def break_off(self) -> None:
        """See Follower."""
        if self._writer is not None:
            self._writer.transport.abort()

    async def _take(self) -> bool:
        """Whether the execution is over."""
        self.record.connections += 1
        reader, self._writer = await asyncio.open_connection(self._address.hostname, self._address.port)
        try:
            self._writer.write(self._request())
            status = (await reader.readline()).split()[1:2]
            while (await reader.readline()).strip():
                pass
            if status == [b"204"]:
                return True
            if status == [b"200"]:
                async for line in _lines(reader):
                    if line.startswith(b"data: ") and self._note(json.loads(line[6:])):
                        return True
            return False
        finally:
            self._writer.close()

    def _note(self, event: dict[str, object]) -> bool:
        happened = datetime.fromisoformat(str(event["time"])).timestamp()
        number, current = event["number"], event["current"]
        assert isinstance(number, int)
        assert current is None or isinstance(current, int)
        self.record.received.append(Received(number, current, 1000 * (time.time() - happened)))
        return event["status"] in {"completed", "failed", "cancelled"}

    def _request(self) -> bytes:
        lines = (
            f"GET /executions/{self._execution_id}/progress HTTP/1.1",
            f"Host: {self._address.netloc}",
            f"Authorization: Bearer {self._token}",
            f"Last-Event-ID: {self.record.last}",
        )
        return "\r\n".join((*lines, "", "")).encode()


async def _lines(reader: asyncio.StreamReader) -> AsyncGenerator[bytes]:
    """The body's lines; the sizes between its pieces, which belong to none, are left out."""
    rest = b""
    while size := int((await reader.readline()).strip() or b"0", 16):
        piece = rest + await reader.readexactly(size)
        await reader.readexactly(2)
        *lines, rest = piece.split(b"\n")
        for line in lines:
            yield line
