"""Questions on a real stack: the deployment `answer/default`, and the commands beside it."""

import json
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.running_stack import StackUnderTest
from tests.sample import NAMESPACE, TEXT, knowing_model
from tests.scripted_endpoint import JSON, Reply, chat_reply

pytestmark = pytest.mark.stack

QUESTION = "Which prize did Ada Brandt win?"


def _answering(path: str, body: JSON) -> Reply:
    """Answers questions with the fact that says so among those it is shown, and extracts as ever."""
    if path.endswith("/embeddings") or body["response_format"]["json_schema"]["name"] != "answer":
        return knowing_model(path, body)
    shown = [json.loads(line) for line in body["messages"][1]["content"].splitlines() if line.startswith("{")]
    (mark,) = (item["id"] for item in shown if item.get("fact") == "Ada Brandt — won — Nordlys Prize")
    sentence = {"text": "Ada Brandt won the Nordlys Prize.", "citations": [mark]}
    return chat_reply(json.dumps({"answerable": True, "sentences": [sentence]}))


async def _artifact(stack: StackUnderTest) -> str:
    with temporary_settings({PREFECT_API_URL: stack.running.api_url}):
        async with get_client() as client:
            named = ArtifactFilter(key=ArtifactFilterKey(any_=["answer"]))
            found = await client.read_artifacts(artifact_filter=named)
    return str(max(found, key=lambda artifact: str(artifact.created)).data)


async def test_a_question_is_answered_by_the_deployment_and_by_the_commands(stack: StackUnderTest) -> None:
    """An application asks through Prefect's API, a person on the command line; both get opened citations."""
    assert stack.run(stack.write("brandt.txt", TEXT), organization="asking").exit_code == 0
    stack.endpoint.answer = _answering
    api = {"PREFECT_API_URL": stack.running.api_url}
    question = ("-p", f"question={QUESTION}", "-p", "organization=asking", "--watch")
    ran = stack.command("prefect", "deployment", "run", "answer/default", *question, **api)
    assert ran.exit_code == 0, ran.stdout + ran.stderr
    assert "Ada Brandt won the Nordlys Prize" in await _artifact(stack)
    asked = _json(stack, "ask", QUESTION)
    assert (asked["answer"], asked["by"]["name"]) == ("Ada Brandt won the Nordlys Prize.", "chat")
    assert asked["usage"]["model_calls"] == 0
    found = _json(stack, "search", "Ada Brandt")
    assert {fact["object"] for fact in found["facts"]} >= {"Oslo", "Nordlys Prize"}
    queried = _json(stack, "query", f"SELECT ?o WHERE {{ ?s <{NAMESPACE}birthDate> ?o }}")
    assert ["1901-05-04" in row["values"][0] for row in queried["rows"]] == [True]


def test_other_organisations_are_told_that_there_is_nothing(stack: StackUnderTest) -> None:
    """One sentence and exit code 1, not an empty answer."""
    ran = stack.command("knowledge", "ask", QUESTION, "--organization", "nobody")
    assert ran.exit_code == 1
    assert ran.stderr.strip().startswith("error: organisation 'nobody' has nothing to search in")


def _json(stack: StackUnderTest, command: str, text: str) -> dict[str, Any]:
    ran = stack.command("knowledge", command, text, "--organization", "asking", "--json")
    assert ran.exit_code == 0, ran.stderr
    return json.loads(ran.stdout)
