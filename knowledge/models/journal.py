"""A journal of answers beside the network: an answer is on record before anything is done with it.

Between the moment an endpoint has answered (and charges for it) and the commit of the answer in PostgreSQL lie the
asking task's turn, parsing, validation and a transaction: tens of milliseconds in which a killed process would lose
it. The bytes of a response are therefore written to a local file in the callback that received them. One `write`
takes microseconds and survives the process, so what is lost is only what the kernel still held.
"""

import itertools
import logging
import os
import struct
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import h11

_logger = logging.getLogger(__name__)

_OK = 200
# A record is a piece of a response: mark, exchange, number of the piece, question, length; the piece; and at the end
# exchange and number again. One that was cut short does not end so, whatever was written behind it; a checksum would
# say the same, and would take as long as the write.
_HEADER = struct.Struct(">4s8sI32sI")
_END = struct.Struct(">8sI")
_MARK = b"\0AJ1"
# httpcore2's bound for the head of a response.
_MAX_HEAD_BYTES = 100 * 1024
# How the body is to be read. Other headers speak of a moment that has passed (rate limits) or of a connection.
_KEPT_HEADERS = {b"content-type", b"content-encoding"}


@dataclass(frozen=True, slots=True)
class RecordedAnswer:
    """A response with status 200: the headers that say how to read its body, and the body as it was sent."""

    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


class AnswerJournal:
    """The answers to one execution's questions, by question; on this machine only.

    A record cut short by the end of its process is ignored, and so are responses that are not complete or not
    answers. Losing the journal loses nothing but money.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None
        self._answers: dict[bytes, deque[RecordedAnswer]] = {}
        self._has_failed = False

    def __enter__(self) -> Self:
        """Reads what earlier processes of the execution left, and opens the file to go on with it."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._answers = _read(self._path)
        self._descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        return self

    def __exit__(self, *exception: object) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def take_answer(self, question: bytes) -> RecordedAnswer | None:
        """The next answer of an earlier process to the question, in the order they came; each is taken once.

        Who asks again in the same process could do nothing with the one it took.
        """
        answers = self._answers.get(question)
        return answers.popleft() if answers else None

    def recorder(self, question: bytes) -> Callable[[bytes], None]:
        """What puts the pieces of one response to the question (32 bytes) on record, each in one write."""
        exchange, numbers = os.urandom(8), itertools.count()

        def record(piece: bytes) -> None:
            number = next(numbers)
            header = _HEADER.pack(_MARK, exchange, number, question, len(piece))
            self._append(b"".join((header, piece, _END.pack(exchange, number))))

        return record

    def _append(self, record: bytes) -> None:
        """A full disk must not cost an answer that has arrived."""
        if self._descriptor is None:
            return
        try:
            if os.write(self._descriptor, record) == len(record):
                return
            problem = "no space is left"
        except OSError as error:
            problem = str(error)
        if not self._has_failed:
            self._has_failed = True
            _logger.warning("cannot write %s (%s): if this process is killed, answers are lost", self._path, problem)


def _read(path: Path) -> dict[bytes, deque[RecordedAnswer]]:
    exchanges: dict[tuple[bytes, bytes], list[bytes]] = {}
    for exchange, question, number, piece in _records(path.read_bytes() if path.exists() else b""):
        pieces = exchanges.setdefault((exchange, question), [])
        if number == len(pieces):  # what follows a piece that is missing means nothing
            pieces.append(piece)
    answers: dict[bytes, deque[RecordedAnswer]] = {}
    for (_, question), pieces in exchanges.items():
        answer = _answer(pieces)
        if answer is not None:
            answers.setdefault(question, deque()).append(answer)
    return answers


def _records(content: bytes) -> Iterator[tuple[bytes, bytes, int, bytes]]:
    """Exchange, question, number and piece of each whole record; what is between them was cut short."""
    start = content.find(_MARK)
    while 0 <= start <= len(content) - _HEADER.size:
        _, exchange, number, question, length = _HEADER.unpack_from(content, start)
        begin = start + _HEADER.size
        end = begin + length
        if content.startswith(_END.pack(exchange, number), end):
            yield exchange, question, number, content[begin:end]
            start = content.find(_MARK, end)
        else:
            start = content.find(_MARK, start + 1)


def _answer(pieces: list[bytes]) -> RecordedAnswer | None:
    """The response that the pieces are, if it is complete and an answer."""
    head, body = None, bytearray()
    try:
        for event in _events(pieces):
            if isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) and head is not None and head.status_code == _OK:
                kept = tuple((name, value) for name, value in head.headers if name in _KEPT_HEADERS)
                return RecordedAnswer(kept, bytes(body))
    except h11.RemoteProtocolError:
        pass
    return None


def _events(pieces: list[bytes]) -> Iterator[object]:
    """What a client hears of a response, as far as it came; an empty piece is the end of the stream."""
    connection = h11.Connection(h11.CLIENT, max_incomplete_event_size=_MAX_HEAD_BYTES)
    connection.send(h11.Request(method="POST", target="/", headers=[("host", "recorded")]))
    connection.send(h11.EndOfMessage())
    for piece in pieces:
        connection.receive_data(piece)
        while (event := connection.next_event()) is not h11.NEED_DATA:
            yield event
            if event is h11.PAUSED or isinstance(event, h11.ConnectionClosed | h11.EndOfMessage):
                return
        if not piece:
            return
