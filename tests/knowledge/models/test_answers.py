"""Answers are read whatever is wrong with their form, and asked for again when something is missing."""

import json
import re

import pytest

from knowledge.models.answers import parse_answer
from tests.sample import TEXT, knowing_answer

WHOLE = json.dumps(knowing_answer(TEXT), ensure_ascii=False)
ANSWER = parse_answer(WHOLE)

_MENDED = {
    "a code fence": f"Here is the JSON:\n```json\n{WHOLE}\n```\nAnything else?",
    "thoughts": f"<think>\nThere are {{several}} things.\n</think>\n{WHOLE}",
    "a trailing comma": WHOLE[:-1] + ",}",
    "single quotes": WHOLE.replace('"', "'"),
    "Python's words": WHOLE.replace("null", "None").replace('"', "'"),
    "a comment": WHOLE.replace("{", "{ // the facts\n", 1),
    "a wrapper": json.dumps({"result": {"data": json.loads(WHOLE)}}),
    "a list around it": f"[{WHOLE}]",
    "the answer twice": f"{WHOLE}\n{WHOLE}",
    "numbers as texts": re.sub(r'("start"|"confidence"): ([\d.]+)', r'\1: "\2"', WHOLE),
    "a line break in a text": WHOLE.replace('": "', '": "\n', 1),
}


@pytest.mark.parametrize("text", _MENDED.values(), ids=_MENDED.keys())
def test_a_wrong_form_does_no_harm(text: str) -> None:
    """What is meant is plain, and asking again would cost as much as the first time."""
    assert parse_answer(text) == ANSWER
    assert not ANSWER.problem


@pytest.mark.parametrize("share", [0.2, 0.5, 0.8, 0.97])
def test_what_is_cut_off_is_read_as_far_as_it_goes_and_said_to_be_cut_off(share: float) -> None:
    """Half an answer must not pass for a whole one, nor be thrown away."""
    answer = parse_answer(WHOLE[: int(len(WHOLE) * share)])
    assert answer.problem
    assert answer.entities
    assert set(answer.relations) <= set(ANSWER.relations)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "no JSON object"),
        ("I could not find anything.", "no JSON object"),
        ('["Oslo"]', "no JSON object"),
        ('{"entities": []}', "no list of relations"),
        (json.dumps(knowing_answer(TEXT)["entities"]), "no list of relations"),
        (json.dumps(knowing_answer(TEXT)["relations"]), "no list of entities"),
    ],
)
def test_what_is_missing_is_said_and_not_made_up(text: str, problem: str) -> None:
    """The reason goes back to the model."""
    assert problem in parse_answer(text).problem


@pytest.mark.parametrize("levels", [300, 500, 990, 5_000, 20_000])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ("[", "")])
def test_brackets_within_brackets_are_no_answer(opening: str, closing: str, levels: int) -> None:
    """How deep JSON may be before Python's own reader gives up is another number in each version of Python."""
    assert "no JSON object" in parse_answer(opening * levels + closing * levels).problem


def test_an_item_that_does_not_fit_is_left_out_and_only_many_are_worth_another_question() -> None:
    """One stray item in twenty is cheaper lost than asked for again."""
    stray = [{"predicate": "won"}]
    few = parse_answer(json.dumps({"entities": [], "relations": json.loads(WHOLE)["relations"] * 7 + stray}))
    many = parse_answer(json.dumps({"entities": [], "relations": json.loads(WHOLE)["relations"] + stray}))
    assert (len(few.relations), len(few.rejections), few.problem) == (21, 1, "")
    assert (len(many.relations), "subject_id" in many.problem) == (3, True)


@pytest.mark.parametrize(("said", "read"), [(2, 1.0), ("high", 0.5), (float("nan"), 0.5), (None, 0.5), (-1, 0.0)])
def test_a_confidence_off_the_scale_does_not_cost_the_fact(said: object, read: float) -> None:
    """It only says less."""
    relation = {**knowing_answer(TEXT)["relations"][0], "confidence": said}
    assert parse_answer(json.dumps({"entities": [], "relations": [relation]})).relations[0].confidence == read
