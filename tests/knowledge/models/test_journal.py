"""An answer that has arrived is kept, even when the process that asked is killed before it can store it."""

import asyncio
import gzip
import json
import logging
import os
import signal
import sys
from pathlib import Path

import httpx2 as httpx
import pytest

from knowledge.build import guards_of, open_link_model
from knowledge.doubtful_links import DoubtfulPair
from knowledge.errors import ModelUnavailable
from knowledge.ids import EntityId
from knowledge.models.chat_extraction import ChatExtractionModel
from knowledge.models.journal import AnswerJournal
from knowledge.models.journaling import JournalingTransport
from knowledge.models.openai import ChatClient, OpenAIEmbeddingModel
from knowledge.models.wire import WireTransport
from knowledge.settings import EndpointSettings, Settings
from tests.boundaries import boundary
from tests.sample import TEXT, knowing_model, sample_ontology
from tests.scripted_endpoint import JSON, Reply, ScriptedEndpoint, chat_reply, scripted


def _settings(endpoint: ScriptedEndpoint) -> EndpointSettings:
    return EndpointSettings(base_url=endpoint.base_url, model="scripted")


async def _ask(endpoint: ScriptedEndpoint, journal: AnswerJournal) -> int:
    """Mentions and a vector, through the journal; how many mentions there are."""
    model = ChatExtractionModel(ChatClient(_settings(endpoint), boundary(), journal))
    found = await model.read(TEXT, sample_ontology())
    await OpenAIEmbeddingModel(_settings(endpoint), boundary(), journal).embed(["Oslo"])
    return len(found.mentions)


async def test_a_successor_reads_what_its_predecessor_was_answered(tmp_path: Path) -> None:
    """The whole point: nothing is asked, and nothing paid, again."""
    with scripted(knowing_model) as endpoint:
        with AnswerJournal(tmp_path / "j" / "answers") as journal:
            first = await _ask(endpoint, journal)
        with AnswerJournal(tmp_path / "j" / "answers") as journal:
            assert await _ask(endpoint, journal) == first
    assert len(endpoint.requests) == 2


_KILLED_ON_RECEIPT = """
import asyncio, os, signal, sys
from pathlib import Path
import httpx2 as httpx
from knowledge.models import wire
from knowledge.models.journal import AnswerJournal
from knowledge.models.journaling import JournalingTransport

received, left = wire._Wire.data_received, int(sys.argv[3])

def receive_and_die(self, data):
    global left
    received(self, data)
    left -= len(data)
    if left <= 0:
        os.kill(os.getpid(), signal.SIGKILL)

wire._Wire.data_received = receive_and_die

async def ask():
    with AnswerJournal(Path(sys.argv[1])) as journal:
        transport = JournalingTransport(journal, wire.WireTransport(httpx.Limits()))
        async with httpx.AsyncClient(transport=transport, timeout=30) as client:
            await client.post(sys.argv[2], json={"question": 1})

asyncio.run(ask())
"""


async def _die_when_received(url: str, path: Path, received_bytes: int = 1) -> None:
    """A process asks, receives so many bytes of the answer at least, and is killed before the asking task's turn."""
    command = (sys.executable, "-c", _KILLED_ON_RECEIPT, str(path), url, str(received_bytes))
    process = await asyncio.create_subprocess_exec(*command)
    assert await process.wait() == -signal.SIGKILL


async def _post(url: str, path: Path, question: int = 1) -> httpx.Response:
    with AnswerJournal(path) as journal:
        transport = JournalingTransport(journal, WireTransport(httpx.Limits()))
        async with httpx.AsyncClient(transport=transport, timeout=30) as client:
            return await client.post(url, json={"question": question})


def _known(path: str, body: JSON) -> Reply:
    return Reply({"answer": body["question"]})


async def test_an_answer_is_on_record_although_the_asking_task_never_ran_again(tmp_path: Path) -> None:
    """A kill comes at any moment, also right after the bytes have left the kernel."""
    with scripted(lambda path, body: Reply({"answer": "a" * 300_000})) as endpoint:
        await _die_when_received(endpoint.base_url, tmp_path / "answers", 300_000)
        assert (await _post(endpoint.base_url, tmp_path / "answers")).json() == {"answer": "a" * 300_000}
    assert len(endpoint.requests) == 1


async def test_an_answer_that_had_not_arrived_whole_is_asked_for_again(tmp_path: Path) -> None:
    """Half an answer is none; the next whole one is found behind it."""
    with scripted(lambda path, body: Reply({"answer": "a" * 5_000_000})) as endpoint:
        await _die_when_received(endpoint.base_url, tmp_path / "answers")
        for _ in range(2):
            assert len((await _post(endpoint.base_url, tmp_path / "answers")).content) > 5_000_000
    assert len(endpoint.requests) == 2


async def test_a_record_cut_short_is_passed_over(tmp_path: Path) -> None:
    """A process can be killed in the middle of a write, and a disk can be full for a while."""
    path = tmp_path / "answers"
    with scripted(_known) as endpoint:
        for question in (1, 2, 3):
            whole = path.read_bytes() if path.exists() else b""
            await _post(endpoint.base_url, path, question)
            if question == 2:
                path.write_bytes(path.read_bytes()[: (len(whole) + path.stat().st_size) // 2])
        assert [(await _post(endpoint.base_url, path, n)).json()["answer"] for n in (1, 2, 3)] == [1, 2, 3]
    assert [body["question"] for body in endpoint.requests] == [1, 2, 3, 2]


async def test_a_compressed_answer_is_read_as_it_was_sent(tmp_path: Path) -> None:
    """What is on record is the wire's: the headers that say how to read it belong to it."""
    body = gzip.compress(json.dumps({"answer": "gzip"}).encode())
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json; charset=utf-8", "X-Remaining": "0"}
    with scripted(lambda path, question: Reply(body, headers=headers)) as endpoint:
        first = await _post(endpoint.base_url, tmp_path / "answers")
        second = await _post(endpoint.base_url, tmp_path / "answers")
    assert (first.json(), second.json(), len(endpoint.requests)) == ({"answer": "gzip"}, {"answer": "gzip"}, 1)
    assert second.headers["content-type"] == headers["Content-Type"]
    assert (first.headers.get("x-remaining"), second.headers.get("x-remaining")) == ("0", None)


@pytest.mark.parametrize(
    ("pieces", "is_answer"),
    [
        ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe", b"\r\n3\r\nllo\r\n0\r\n\r\n"), True),
        ((b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",), False),
        ((b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",), True),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell", b""), False),
        ((b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"hello", b""), True),
        ((b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", b"hello"), False),
        ((b"HTTP/1.1 503 Down\r\nContent-Length: 5\r\n\r\nhello",), False),
        ((b"SSH-2.0-OpenSSH\r\n",), False),
        ((), False),
    ],
)
def test_only_whole_answers_are_answers(tmp_path: Path, pieces: tuple[bytes, ...], is_answer: bool) -> None:
    """What was cut off, or says that something went wrong, must not come back as what a model said."""
    question = b"q" * 32
    with AnswerJournal(tmp_path / "answers") as journal:
        record = journal.recorder(question)
        for piece in pieces:
            record(piece)
    with AnswerJournal(tmp_path / "answers") as journal:
        answer = journal.take_answer(question)
        assert (answer.body if answer else None) == (b"hello" if is_answer else None)


async def test_answers_that_arrive_together_are_kept_apart(tmp_path: Path) -> None:
    """Many calls are in flight at once, some with the same question: each is paid for, and each is used."""
    with AnswerJournal(tmp_path / "answers") as journal:
        recorders = [journal.recorder(b"q" * 32) for _ in range(2)] + [journal.recorder(b"r" * 32)]
        for record in recorders:
            record(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n")
        for number, record in enumerate(recorders):
            record(b"%d" % number)
    with AnswerJournal(tmp_path / "answers") as journal:
        taken = [journal.take_answer(question * 32) for question in (b"q", b"q", b"q", b"r")]
        assert [answer and answer.body for answer in taken] == [b"0", b"1", None, b"2"]


async def test_an_answer_that_was_no_use_is_not_given_again(tmp_path: Path) -> None:
    """A proxy's error page with status 200 would be all that a run ever hears, through all its resumes."""
    with scripted(lambda path, body: Reply(b"<html>")) as endpoint:
        await _post(endpoint.base_url, tmp_path / "answers")
        endpoint.answer = _known
        with AnswerJournal(tmp_path / "answers") as journal:
            transport = JournalingTransport(journal, WireTransport(httpx.Limits()))
            async with httpx.AsyncClient(transport=transport, timeout=30) as client:
                said = [(await client.post(endpoint.base_url, json={"question": 1})).text for _ in range(2)]
    assert said == ["<html>", '{"answer": 1}']


async def test_only_answers_are_kept(tmp_path: Path) -> None:
    """An endpoint that was down once is asked again."""
    replies = iter([Reply({"error": {"message": "down"}}, 503)])

    def answer(path: str, body: JSON) -> Reply:
        return next(replies, None) or knowing_model(path, body)

    with scripted(answer) as endpoint:
        with AnswerJournal(tmp_path / "answers") as journal, pytest.raises(ModelUnavailable):
            await _ask(endpoint, journal)
        for _ in range(2):
            with AnswerJournal(tmp_path / "answers") as journal:
                await _ask(endpoint, journal)
    assert len(endpoint.requests) == 3


def test_an_answer_with_a_piece_missing_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that was full for a moment must not make an answer nobody gave."""

    def is_full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with AnswerJournal(tmp_path / "answers") as journal:
        record = journal.recorder(b"q" * 32)
        record(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", is_full)
            record(b"1\r\nb\r\n")
        record(b"0\r\n\r\n")
    with AnswerJournal(tmp_path / "answers") as journal:
        assert journal.take_answer(b"q" * 32) is None


async def test_a_disk_that_is_full_costs_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The journal spares money; it must not be what a run fails of."""

    def is_full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    with scripted(_known) as endpoint, AnswerJournal(tmp_path / "answers") as journal:
        transport = JournalingTransport(journal, WireTransport(httpx.Limits()))
        async with httpx.AsyncClient(transport=transport, timeout=30) as client:
            with monkeypatch.context() as patched, caplog.at_level(logging.WARNING):
                patched.setattr(os, "write", is_full)
                for _ in range(2):
                    assert (await client.post(endpoint.base_url, json={"question": 1})).json() == {"answer": 1}
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    """It holds what documents say."""
    path = tmp_path / "acme" / "answers"
    with AnswerJournal(path) as journal:
        journal.recorder(b"q" * 32)(b"answer")
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


async def test_a_question_about_links_is_on_record_too(tmp_path: Path) -> None:
    """Who takes over a run that died between a verdict and its row does not pay for the verdict again."""
    pair = DoubtfulPair(EntityId.derive("a"), EntityId.derive("b"), 0.5, (), ("name: WHO",), ("name: World Health",))
    with scripted(lambda path, body: chat_reply('{"verdicts": []}')) as endpoint:
        settings = Settings(chat=EndpointSettings(base_url=endpoint.base_url, model="scripted"))
        for _ in range(2):
            with AnswerJournal(tmp_path / "answers") as journal:
                async with open_link_model(settings, guards_of(settings), journal) as model:
                    assert model is not None
                    await model.decide([pair])
        assert len(endpoint.requests) == 1
