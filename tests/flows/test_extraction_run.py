"""`extraction/default` on a real stack, as a user runs it: PostgreSQL, Prefect server, worker, command line."""

import json
import random
from pathlib import Path

import pytest
from prefect._internal.result_records import ResultRecord
from prefect.serializers import JSONSerializer
from sqlalchemy import text

from knowledge.build import open_stages
from knowledge.domain import ExecutionStatus, Stage
from knowledge.exports import GraphExport, export_jsonl
from knowledge.ids import ExecutionId, OrganizationId
from knowledge.pipeline import ExtractionPipeline
from knowledge.settings import EndpointSettings, Settings
from tables.ledger import Ledger
from tests.running_stack import StackUnderTest
from tests.sample import TEXT, knowing_model, sample_document, sample_ontology
from tests.scripted_endpoint import JSON, Reply, chat_reply

pytestmark = pytest.mark.stack

_WORDS = [
    "river",
    "stone",
    "lamp",
    "garden",
    "paper",
    "window",
    "quiet",
    "morning",
    "engine",
    "harbour",
    "silver",
    "letter",
    "bridge",
    "winter",
]


def _long_text(paragraphs: int) -> str:
    rng = random.Random(7)
    prose = (" ".join(rng.choices(_WORDS, k=60)).capitalize() + "." for _ in range(paragraphs))
    return TEXT + "\n\n" + "\n\n".join(f"In Oslo Brandt saw it. {line}" for line in prose)


def _ledger(stack: StackUnderTest, organization: str) -> Ledger:
    return Ledger(stack.database, OrganizationId(organization))


async def _plain_graph(stack: StackUnderTest, organization: str) -> list[str]:
    remote = EndpointSettings(base_url=stack.endpoint.base_url, model="scripted")
    document = sample_document(OrganizationId(organization))
    async with open_stages(Settings(chat=remote, embedding=remote)) as stages:
        result = await ExtractionPipeline(stages).run(document, sample_ontology())
    return list(export_jsonl([GraphExport(document, sample_ontology(), result.graph)]))


async def test_a_document_becomes_the_same_graph_as_without_a_workflow(stack: StackUnderTest) -> None:
    """One pipeline, two ways of running it, one graph: in the file, and out of PostgreSQL."""
    ran = stack.run(stack.write("brandt.txt", TEXT), organization="first")
    assert ran.exit_code == 0, ran.stderr
    (execution,) = ran.executions
    assert execution["status"] == "completed"
    found = {name: execution["stats"][name] for name in ("chunks", "model_calls", "cached_calls", "embedding_calls")}
    assert found == {"chunks": 1, "model_calls": 1, "cached_calls": 0, "embedding_calls": 1}
    plain = await _plain_graph(stack, "first")
    assert Path(execution["exports"]["jsonl"]).read_text().splitlines() == plain
    exported = stack.command("knowledge", "export", "--organization", "first", "--format", "jsonl")
    assert exported.stdout.splitlines() == plain


def test_a_second_run_asks_nothing_and_another_organisation_shares_nothing(stack: StackUnderTest) -> None:
    """Answers are kept by content within an organisation, and never between two."""
    document = stack.write("brandt.txt", TEXT)
    first = stack.run(document, organization="repeat").executions[0]
    second = stack.run(document, organization="repeat").executions[0]
    assert not stack.endpoint.requests
    assert (second["stats"]["model_calls"], second["stats"]["cached_calls"]) == (0, first["stats"]["model_calls"])
    assert second["stats"]["embedding_calls"] == 0
    other = stack.run(document, organization="stranger").executions[0]
    assert len(stack.endpoint.requests) == 2
    assert other["stats"]["model_calls"] == first["stats"]["model_calls"]
    assert _ledger(stack, "stranger").list_executions()[0].id != first["execution_id"]


def test_all_that_a_run_stores_is_in_json(stack: StackUnderTest) -> None:
    """Records of Prefect's, and none is pickled: a row that is read must not be able to run code."""
    assert stack.run(stack.write("brandt.txt", TEXT), organization="stored").exit_code == 0
    with stack.database.org_session(OrganizationId("stored")) as session:
        payloads = list(session.scalars(text("SELECT payload FROM knowledge.stage_result")))
    assert payloads
    for payload in payloads:
        record = ResultRecord[str].deserialize(bytes(payload))
        assert isinstance(record.metadata.serializer, JSONSerializer)
        assert isinstance(json.loads(record.result), dict)


def test_a_changed_paragraph_costs_only_the_chunks_it_touches(stack: StackUnderTest) -> None:
    """An edit in a long document is paid for, the rest of the document is not."""
    long = _long_text(60)
    before = stack.run(stack.write("long.txt", long), organization="editor").executions[0]
    assert before["stats"]["chunks"] >= 8
    lines = long.split("\n\n")
    lines[30] = "In 1930 Brandt won the Nordlys Prize, it was said in Oslo, and nobody there ever doubted it again."
    after = stack.run(stack.write("long.txt", "\n\n".join(lines)), organization="editor").executions[0]
    assert after["status"] == "completed"
    assert 1 <= after["stats"]["model_calls"] <= 4
    assert after["stats"]["cached_calls"] >= before["stats"]["model_calls"] - 4


def test_every_attempt_is_in_the_ledger_and_a_passing_failure_is_retried(stack: StackUnderTest) -> None:
    """A failure, a request to wait, which is none, and then an answer: two attempts, and one answer paid for."""
    throttled = Reply({"error": {"message": "slow down"}}, 429, {"Retry-After": "0.1"})
    failures = iter([Reply({"error": {"message": "busy"}}, 503), throttled])

    def answer(path: str, body: JSON) -> Reply:
        return next(failures, None) or knowing_model(path, body)

    stack.endpoint.answer = answer
    (execution,) = stack.run(stack.write("brandt.txt", TEXT), organization="patient").executions
    assert execution["status"] == "completed"
    assert execution["stats"]["model_calls"] == 1
    query = text("SELECT stage, attempt, status, error FROM knowledge.workflow_activity ORDER BY started_at")
    with stack.database.org_session(OrganizationId("patient")) as session:
        rows = session.execute(query).all()
    made = [(row.stage, row.attempt, row.status) for row in rows]
    assert made[1:3] == [("mentions", 1, "failed"), ("mentions", 2, "completed")]
    assert "503" in rows[1].error
    others = [stage.value for stage in Stage if stage is not Stage.MENTIONS]
    assert [made[0], *made[3:]] == [(stage, 1, "completed") for stage in others]


def test_an_answer_that_stays_invalid_fails_its_item_and_not_the_run(stack: StackUnderTest) -> None:
    """The rest of the document is delivered, and the failed item is on record, asked twice and no more."""

    def answer(path: str, body: JSON) -> Reply:
        return chat_reply("{") if "gibberish" in json.dumps(body) else knowing_model(path, body)

    stack.endpoint.answer = answer
    document = stack.write("odd.txt", f"{_long_text(60)}\n\nThe rest is gibberish.")
    (execution,) = stack.run(document, organization="nonsense").executions
    assert (execution["status"], execution["stats"]["failed_items"]) == ("completed", 1)
    assert (execution["stats"]["entities"], execution["stats"]["relations"]) == (3, 3)
    assert sum("gibberish" in json.dumps(body) for body in stack.endpoint.requests) == 2
    query = text("SELECT DISTINCT status FROM knowledge.workflow_activity WHERE stage = 'mentions' ORDER BY status")
    with stack.database.org_session(OrganizationId("nonsense")) as session:
        assert session.execute(query).scalars().all() == ["completed", "failed"]


def test_bad_input_is_refused_before_any_model_is_asked(stack: StackUnderTest) -> None:
    """One clear sentence, a failed row that says why, exit code 1, and nothing paid."""
    documents = [
        stack.write("empty.txt", ""),
        stack.write("blank.txt", " \n\n "),
        stack.write("binary.txt", bytes(range(256)) * 8),
        stack.write("latin1.txt", "Café".encode("latin-1")),
        stack.home / "missing.txt",
    ]
    ran = stack.run(*documents, organization="careless")
    assert ran.exit_code == 1
    assert not stack.endpoint.requests
    assert [execution["status"] for execution in ran.executions] == ["failed"] * 5
    rows = _ledger(stack, "careless").list_executions()
    assert {row.status for row in rows} == {ExecutionStatus.FAILED}
    errors = {row.document_name: row.error or "" for row in rows}
    assert "is empty" in errors["empty"]
    assert "white space" in errors["blank"]
    assert "binary" in errors["binary"]
    assert "UTF-8" in errors["latin1"]
    assert "cannot be read" in errors["missing"]


def test_an_organisation_that_cannot_be_one_is_refused_and_recorded(stack: StackUnderTest) -> None:
    """A name with no rows of its own is recorded under `default`."""
    ran = stack.run(stack.write("brandt.txt", TEXT), organization="No Such!")
    assert ran.exit_code == 1
    assert "No Such!" in ran.executions[0]["error"]
    recorded = _ledger(stack, "default").load(ExecutionId(ran.executions[0]["execution_id"]))
    assert "No Such!" in (recorded.error or "")


def test_a_run_with_other_model_settings_than_the_stacks_says_so(stack: StackUnderTest) -> None:
    """The worker's models answer; a command that thinks otherwise must not be left in its belief."""
    ran = stack.run(stack.write("brandt.txt", TEXT), organization="other", KNOWLEDGE_CHAT__MODEL="another")
    assert ran.exit_code == 1
    assert "other model settings" in ran.stderr
    assert not stack.endpoint.requests


def test_prefects_own_command_line_runs_the_deployment(stack: StackUnderTest) -> None:
    """`prefect deployment run extraction/default --watch` with a path the worker may read, and one it may not."""
    stack.write("brandt.txt", TEXT)
    api = {"PREFECT_API_URL": stack.running.api_url}
    start = ("prefect", "deployment", "run", "extraction/default", "--watch", "-p", "organization=cli")
    good = stack.command(*start, "-p", "document=brandt.txt", "-p", f"ontology={stack.ontology}", **api)
    assert good.exit_code == 0, good.stdout + good.stderr
    bad = stack.command(*start, "-p", "document=/etc/hostname", "-p", f"ontology={stack.ontology}", **api)
    assert bad.exit_code == 1
    newest, oldest = _ledger(stack, "cli").list_executions()
    assert (oldest.status, oldest.document_name) == (ExecutionStatus.COMPLETED, "brandt")
    assert newest.status is ExecutionStatus.FAILED
    assert "outside the directories" in (newest.error or "")


def test_parameters_that_do_not_fit_are_refused_at_the_door(stack: StackUnderTest) -> None:
    """The form and the API check before anything is started."""
    api = {"PREFECT_API_URL": stack.running.api_url}
    for wrong in ("organization=No Such!", "colour=blue", 'options={"chunk_characters": 1}'):
        parameters = ("-p", "document=a", "-p", "ontology=b", "-p", wrong)
        ran = stack.command("prefect", "deployment", "run", "extraction/default", *parameters, **api)
        assert ran.exit_code == 1, wrong


def _answer_about_spellings(path: str, body: JSON) -> Reply:
    """Finds the one person that a passage names, and says that two spellings are one."""
    if path.endswith("embeddings"):
        return knowing_model(path, body)
    asked = body["messages"][1]["content"]
    if body["response_format"]["json_schema"]["name"] == "links":
        quoted = {"evidence_a": "name: Wilhelm R", "evidence_b": "Wilhelm R", "reason": "one spelling of two"}
        return chat_reply(json.dumps({"verdicts": [{"pair": "P1", "same": True, **quoted}]}))
    name = next(name for name in ("Wilhelm Roentgen", "Wilhelm Rontgen") if name in asked)
    person = {"id": "e1", "name": name, "types": ["person"], "mentions": [{"text": name, "start": 0}]}
    return chat_reply(json.dumps({"entities": [person], "relations": []}))


def test_what_rules_cannot_tell_is_put_to_the_model(stack: StackUnderTest) -> None:
    """The question is counted with the run's, and its answer is a link with a reason."""
    stack.endpoint.answer = _answer_about_spellings
    texts = ("Wilhelm Roentgen lived there.", "Wilhelm Rontgen died there.")
    runs = [stack.run(stack.write(f"{n}.txt", text), organization="spellings") for n, text in enumerate(texts)]
    assert [ran.executions[0]["stats"]["model_calls"] for ran in runs] == [1, 2]
    (link,) = json.loads(stack.command("knowledge", "links", "--organization", "spellings", "--json").stdout)
    assert link["status"] == "accepted"
    assert link["reasons"][-1].startswith("scripted says that they are one: one spelling of two")
