"""An answer that has arrived is kept, even when the process that asked is killed before it can store it."""

from pathlib import Path

import pytest

from knowledge.errors import ModelUnavailable
from knowledge.models.chat_extraction import ChatExtractionModel
from knowledge.models.journal import AnswerJournal
from knowledge.models.openai import ChatClient, OpenAIEmbeddingModel
from knowledge.settings import EndpointSettings
from tests.boundaries import boundary
from tests.sample import TEXT, knowing_model, sample_ontology
from tests.scripted_endpoint import JSON, Reply, ScriptedEndpoint, scripted


def _settings(endpoint: ScriptedEndpoint) -> EndpointSettings:
    return EndpointSettings(base_url=endpoint.base_url, model="scripted")


async def _ask(endpoint: ScriptedEndpoint, journal: AnswerJournal) -> int:
    """Mentions and a vector, through the journal; how many mentions there are."""
    model = ChatExtractionModel(ChatClient(_settings(endpoint), boundary(), journal))
    found = await model.find_mentions(TEXT, sample_ontology())
    await OpenAIEmbeddingModel(_settings(endpoint), boundary(), journal).embed(["Oslo"])
    return len(found.mentions)


async def test_a_successor_reads_what_its_predecessor_was_answered(tmp_path: Path) -> None:
    """The whole point: nothing is asked, and nothing paid, again."""
    with scripted(knowing_model) as endpoint:
        with AnswerJournal(tmp_path / "j" / "run.jsonl") as journal:
            first = await _ask(endpoint, journal)
        with AnswerJournal(tmp_path / "j" / "run.jsonl") as journal:
            assert await _ask(endpoint, journal) == first
    assert len(endpoint.requests) == 2


async def test_an_answer_cut_short_is_asked_for_again_and_the_rest_is_kept(tmp_path: Path) -> None:
    """A process can be killed in the middle of a write."""
    path = tmp_path / "run.jsonl"
    with scripted(knowing_model) as endpoint:
        with AnswerJournal(path) as journal:
            await _ask(endpoint, journal)
        whole = path.read_bytes()
        path.write_bytes(whole[: whole.rindex(b"answer") + 20])
        with AnswerJournal(path) as journal:
            await _ask(endpoint, journal)
        assert len(endpoint.requests) == 3
        with AnswerJournal(path) as journal:
            await _ask(endpoint, journal)
    assert len(endpoint.requests) == 3


async def test_only_answers_are_kept(tmp_path: Path) -> None:
    """An endpoint that was down once is asked again."""
    replies = iter([Reply({"error": {"message": "down"}}, 503)])

    def answer(path: str, body: JSON) -> Reply:
        return next(replies, None) or knowing_model(path, body)

    with scripted(answer) as endpoint, AnswerJournal(tmp_path / "run.jsonl") as journal:
        with pytest.raises(ModelUnavailable):
            await _ask(endpoint, journal)
        await _ask(endpoint, journal)
    assert len(endpoint.requests) == 3


def test_nobody_else_may_read_it(tmp_path: Path) -> None:
    """It holds what documents say."""
    path = tmp_path / "acme" / "run.jsonl"
    with AnswerJournal(path) as journal:
        journal.record("a", b"b")
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
