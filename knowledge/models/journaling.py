"""The transport that uses the journal; apart from it, because processes that ask no endpoint need no HTTP."""

import hashlib

import httpx2 as httpx

from knowledge.models.journal import AnswerJournal
from knowledge.models.wire import WireTransport, heard_by

_OK = 200


class JournalingTransport(httpx.AsyncBaseTransport):
    """Answers requests from the journal where it can, and puts on record what the network answers, as it arrives."""

    def __init__(self, journal: AnswerJournal, inner: WireTransport) -> None:
        self._journal = journal
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The response; one from the journal has only the headers that say how to read it."""
        await request.aread()
        parts = (request.method.encode(), str(request.url).encode(), request.content)
        question = hashlib.sha256(b"\0".join(parts)).digest()
        known = self._journal.take_answer(question)
        if known is not None:
            return httpx.Response(_OK, headers=list(known.headers), content=known.body, request=request)
        with heard_by(self._journal.recorder(question)):
            return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._inner.aclose()
