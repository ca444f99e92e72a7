"""Executions and signals over HTTP: who sees what, and what is said when something is wrong."""

import json

import httpx
import pytest

from deployments.window.serving import is_loopback, serve
from knowledge.errors import ConfigurationError
from knowledge.ids import ExecutionId
from knowledge.settings import Settings
from tests.deployments.window.conftest import Visitor

FOREIGN = "/executions/{}", "/executions/{}/progress", "/executions?before={}"


def test_executions_are_listed_page_by_page_the_newest_first(visitor: Visitor, stranger: Visitor) -> None:
    """All of them, each once, and nobody else's."""
    begun = [visitor.begin(f"document {n}") for n in range(5)]
    stranger.begin("theirs")
    seen: list[str] = []
    page = visitor.ask("GET", "/executions?limit=2").json()
    while True:
        seen += [each["execution_id"] for each in page["executions"]]
        if page["next"] is None:
            break
        page = visitor.ask("GET", f"/executions?limit=2&before={page['next']}").json()
    assert seen == begun[::-1]


def test_an_execution_is_shown_with_its_stages_and_signals(visitor: Visitor) -> None:
    """One request says all that there is to say."""
    execution_id = visitor.begin("ada")
    visitor.advance(execution_id, 40)
    sent = visitor.ask(
        "POST", f"/executions/{execution_id}/signals", json={"name": "pause", "payload": {"reason": "tea"}}
    )
    assert (sent.status_code, sent.json()["signal"]["sent_by"]) == (201, "token a dashboard")
    shown = visitor.ask("GET", f"/executions/{execution_id}").json()
    assert (shown["document"], shown["status"], shown["fraction"]) == ("ada", "running", 0.4)
    assert shown["stages"] == [{"stage": "mentions", "current": 40, "total": 100, "message": ""}]
    assert [(signal["name"], signal["payload"]) for signal in shown["signals"]] == [("pause", {"reason": "tea"})]


def test_unknown_foreign_and_malformed_ids_are_the_same(visitor: Visitor, stranger: Visitor) -> None:
    """Whether somebody else has an execution is nobody's business."""
    foreign, unknown = stranger.begin(), ExecutionId.new()
    for path in FOREIGN:
        answers = [visitor.ask("GET", path.format(each)) for each in (foreign, unknown, "nonsense")]
        assert [answer.status_code for answer in answers] == [404] * 3
        texts = [
            answer.text.replace(each, "?") for answer, each in zip(answers, (foreign, unknown, "nonsense"), strict=True)
        ]
        assert len(set(texts)) == 1
        assert answers[0].headers["content-type"] == "application/problem+json"
    signal = visitor.ask("POST", f"/executions/{foreign}/signals", json={"name": "cancel"})
    assert signal.status_code == 404
    assert stranger.ask("GET", f"/executions/{foreign}").json()["signals"] == []


@pytest.mark.parametrize("path", ["/executions", "/executions/nonsense", "/executions/nonsense/progress"])
def test_nobody_comes_in_without_a_valid_token(visitor: Visitor, stranger: Visitor, path: str) -> None:
    """Missing, invented, mixed and revoked tokens are told the same, before anything else is looked at."""
    ours, theirs = visitor.token.split("."), stranger.token.split(".")
    mixed = [".".join((ours[0], theirs[1], *ours[2:])), ".".join((*ours[:3], theirs[3]))]
    (token,) = stranger.tokens.all()
    stranger.tokens.revoke(token.id, "me")
    answers = [visitor.ask("GET", path, token) for token in ("-", "kno.x.y.z", *mixed, stranger.token)]
    assert {(answer.status_code, answer.text) for answer in answers} == {(401, answers[0].text)}
    assert answers[0].headers["www-authenticate"].startswith("Bearer")
    assert answers[0].json()["title"] == "Unauthorized"


def test_what_cannot_be_accepted_is_named(visitor: Visitor) -> None:
    """Every refusal says which part was wrong, or what to do, as a problem."""
    path = f"/executions/{visitor.begin()}/signals"
    unknown = visitor.ask("POST", path, json={"name": "stop"})
    assert (unknown.status_code, unknown.json()["errors"][0]["location"]) == (422, "body.name")
    undecidable = visitor.ask("POST", path, json={"name": "approve"})
    assert (undecidable.status_code, "not started with review" in undecidable.json()["detail"]) == (409, True)
    assert visitor.ask("POST", path, content=b"{").status_code == 422
    assert visitor.ask("POST", path, content=b'{"payload":' * 150).json()["status"] == 422
    # Whether Python's reader gives up first, or finds that they are not closed, depends on its version.
    assert visitor.ask("POST", path, content=b"[" * 1_900).json()["status"] in {400, 422}
    deep = '{"name": "pause", "payload": ' + '{"a":' * 40 + "1" + "}" * 41
    assert visitor.ask("POST", path, content=deep).json()["errors"][0]["location"] == "body.payload"
    assert visitor.ask("PUT", path).json()["status"] == 405
    assert visitor.ask("GET", "/nothing").json()["detail"] == "there is nothing at this address"


def test_bodies_have_a_limit(visitor: Visitor) -> None:
    """Also one that does not say beforehand how long it will be."""
    path, long = f"/executions/{visitor.begin()}/signals", json.dumps({"name": "x" * 3_000}).encode()
    for content in (long, iter([long[:1_000], long[1_000:]])):
        assert visitor.ask("POST", path, content=content).json()["status"] == 413


def test_other_sites_pages_may_not_read_it(visitor: Visitor) -> None:
    """Without CORS a browser keeps what the window says from a page that asks with somebody's token."""
    answer = visitor.ask("GET", "/executions")
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert (answer.headers["cache-control"], answer.headers["x-content-type-options"]) == ("no-store", "nosniff")


def test_whoever_watches_over_it_needs_no_token(visitor: Visitor) -> None:
    """It is told that the database answers, and nothing else."""
    answer = httpx.get(f"{visitor.url}/health")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


def test_only_this_machine_is_served_unless_somebody_says_otherwise() -> None:
    """Tokens would cross the network as they are."""
    assert all(map(is_loopback, ("127.0.0.1", "127.1.2.3", "::1", "localhost")))
    for host in ("0.0.0.0", "::", "192.0.2.1", "example.org"):
        with pytest.raises(ConfigurationError, match="--expose"):
            serve(Settings(), host, 0, exposed=False, on_ready=lambda url: None)
