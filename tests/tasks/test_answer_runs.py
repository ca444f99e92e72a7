"""Questions as flow runs: an answer that has arrived is never paid for again, whatever happens to its process."""

import json
from pathlib import Path

import pytest

from knowledge.answers.asking import AnswerOptions, WhenUnavailable
from knowledge.errors import ModelUnavailable, ResultNotPersisted
from knowledge.ids import FlowRunId, OrganizationId
from knowledge.settings import EndpointSettings, Settings
from tables.kept_answers import KeptAnswerStore
from tables.session import Database
from tasks.answer_runs import answer_within
from tasks.keepsakes import Keepsakes
from tests.graphs import publish_facts
from tests.scripted_endpoint import JSON, Reply, ScriptedEndpoint, chat_reply, scripted

QUESTION = "Who directed Night Ferry?"
RUN = FlowRunId("3f1d9a52-7f0e-4f3e-9a75-0c7a1f9f2d11")


def _settings(endpoint: ScriptedEndpoint, home: Path) -> Settings:
    return Settings(home=home, chat=EndpointSettings(base_url=endpoint.base_url, model="scripted"))


def _director(path: str, body: JSON) -> Reply:
    lines: list[str] = body["messages"][1]["content"].splitlines()
    shown = [json.loads(line) for line in lines if line.startswith("{")]
    (mark,) = (item["id"] for item in shown if item.get("fact") == "Night Ferry — director — Ada Brandt")
    sentence = {"text": "Night Ferry was directed by Ada Brandt.", "citations": [mark]}
    return chat_reply(json.dumps({"answerable": True, "sentences": [sentence]}))


async def test_a_run_that_died_between_answer_and_store_does_not_ask_again(
    database: Database, organization_id: OrganizationId, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The endpoint has charged for it; the flow run's next process finds it in the journal, and tidies up."""
    publish_facts(database, organization_id)
    keepsakes = Keepsakes.of(Settings(home=tmp_path), organization_id, RUN)

    async def gone(*_: object) -> None:
        raise ResultNotPersisted("the database went away")

    with scripted(_director) as endpoint:
        settings = _settings(endpoint, tmp_path)
        with monkeypatch.context() as patched:
            patched.setattr(KeptAnswerStore, "keep", gone)
            with pytest.raises(ResultNotPersisted):
                await answer_within(settings, database, organization_id, QUESTION, AnswerOptions(), RUN)
        assert (len(endpoint.requests), keepsakes.answers.exists()) == (1, True)
        answer = await answer_within(settings, database, organization_id, QUESTION, AnswerOptions(), RUN)
        assert len(endpoint.requests) == 1
    assert (answer.text, answer.by.name) == ("Night Ferry was directed by Ada Brandt.", "chat")
    assert not keepsakes.answers.exists()


async def test_a_run_that_ended_leaves_nothing_behind(
    database: Database, organization_id: OrganizationId, tmp_path: Path
) -> None:
    """Also when it failed: another run of the same flow asks anew."""
    publish_facts(database, organization_id)
    with scripted(lambda path, body: Reply({"error": "no"}, status=503)) as endpoint:
        options = AnswerOptions(WhenUnavailable.FAIL)
        with pytest.raises(ModelUnavailable):
            await answer_within(_settings(endpoint, tmp_path), database, organization_id, QUESTION, options, RUN)
    assert not Keepsakes.of(Settings(home=tmp_path), organization_id, RUN).answers.exists()
