"""A journal of answers beside the network: an answer is on record before anything is done with it.

Between the moment an endpoint has answered (and charges for it) and the commit of the answer in PostgreSQL lie
parsing, validation and a transaction: tens of milliseconds in which a killed process would lose it. One `write` to a
local file takes microseconds and survives the process, so what is lost is only what the kernel still held.
"""

import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Self

import httpx2 as httpx

_OK = 200


class AnswerJournal:
    """The answers to one execution's requests, by request; on this machine only.

    A record cut short by the end of its process is ignored. Losing the journal loses nothing but money.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._answers: dict[str, bytes] = {}

    def __enter__(self) -> Self:
        """Reads what an earlier process of the execution left, and opens the file to go on with it."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._answers = _read(self._path)
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        if self._answers or self._path.stat().st_size:
            os.write(self._descriptor, b"\n")
        return self

    def __exit__(self, *exception: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def answer_to(self, request: str) -> bytes | None:
        """The answer on record, if there is one."""
        return self._answers.get(request)

    def record(self, request: str, answer: bytes) -> None:
        """Puts an answer on record, in one write."""
        assert self._descriptor is not None, "the journal is not open"
        line = json.dumps({"request": request, "answer": base64.b64encode(answer).decode()}) + "\n"
        os.write(self._descriptor, line.encode())


def _read(path: Path) -> dict[str, bytes]:
    answers: dict[str, bytes] = {}
    if not path.exists():
        return answers
    for line in path.read_bytes().splitlines():
        try:
            record = json.loads(line)
            answers[record["request"]] = base64.b64decode(record["answer"], validate=True)
        except (ValueError, KeyError, TypeError):
            continue
    return answers


class JournalingTransport(httpx.AsyncBaseTransport):
    """Answers requests from the journal where it can, and puts on record what the network answers with 200."""

    def __init__(self, journal: AnswerJournal, inner: httpx.AsyncBaseTransport) -> None:
        self._journal = journal
        self._inner = inner

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The response; one from the journal has no headers but its content type."""
        await request.aread()
        key = hashlib.sha256(b"\0".join((str(request.url).encode(), request.content))).hexdigest()
        known = self._journal.answer_to(key)
        if known is not None:
            return httpx.Response(_OK, headers={"content-type": "application/json"}, content=known, request=request)
        response = await self._inner.handle_async_request(request)
        if response.status_code == _OK:
            self._journal.record(key, await response.aread())
        return response

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._inner.aclose()
