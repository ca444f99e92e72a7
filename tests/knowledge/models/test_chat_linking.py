"""A chat model's verdicts on doubtful pairs: believed as far as they cite what the descriptions say."""

import json

import pytest

from knowledge.doubtful_links import DoubtfulPair, Verdict
from knowledge.ids import EntityId
from knowledge.models.chat_linking import ChatLinkModel
from knowledge.models.openai import ChatClient
from knowledge.settings import EndpointSettings
from tests.boundaries import boundary
from tests.scripted_endpoint import JSON, Reply, chat_reply, scripted

PAIRS = tuple(
    DoubtfulPair(
        EntityId.derive(f"{n}", "a"),
        EntityId.derive(f"{n}", "b"),
        0.5,
        (),
        ("name: W.H.O.", f"text: The W.H.O. in Geneva ({n})."),
        ("name: World Health Organization",),
    )
    for n in range(2)
)
SAME = {
    "pair": "P1",
    "same": True,
    "evidence_a": "The W.H.O. in  geneva",
    "evidence_b": "World Health Organization",
    "reason": "its initials",
}


async def _decide(*said: JSON, content: str | None = None) -> tuple[tuple[Verdict, ...], list[JSON]]:
    def answer(path: str, body: JSON) -> Reply:
        return chat_reply(content if content is not None else json.dumps({"verdicts": said}))

    with scripted(answer) as endpoint:
        settings = EndpointSettings(base_url=endpoint.base_url, model="scripted")
        found = await ChatLinkModel(ChatClient(settings, boundary())).decide(PAIRS)
        return found.verdicts, endpoint.requests


async def test_several_pairs_are_decided_by_one_question() -> None:
    """Each by its id, whatever the order; the descriptions are all that the model is shown."""
    other = {**SAME, "pair": "[p2]", "same": False, "evidence_a": "", "evidence_b": "", "reason": "two bodies"}
    verdicts, (request,) = await _decide(other, SAME)
    evidence = ("The W.H.O. in  geneva", "World Health Organization")
    assert verdicts == (Verdict(True, "its initials", evidence), Verdict(False, "two bodies"))
    assert "A text: The W.H.O. in Geneva (1)." in request["messages"][1]["content"]


@pytest.mark.parametrize(
    "said",
    [
        {**SAME, "evidence_a": "founded in 1948"},
        {**SAME, "evidence_b": ""},
        {**SAME, "pair": "P3"},
        {**SAME, "pair": ""},
    ],
)
async def test_who_says_that_two_are_one_must_cite_both(said: JSON) -> None:
    """What the model knows besides, or makes up, links nothing; nor does a pair that it was not asked about."""
    assert (await _decide(said))[0] == (Verdict(None), Verdict(None))


async def test_an_answer_that_contradicts_itself_or_is_none_says_nothing() -> None:
    """And is not asked for again: a link that stays open costs nothing."""
    assert (await _decide(SAME, {**SAME, "same": False}))[0] == (Verdict(None), Verdict(None))
    verdicts, requests = await _decide(content="They are the same.")
    assert (verdicts, len(requests)) == ((Verdict(None), Verdict(None)), 1)
