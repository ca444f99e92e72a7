"""Names in questions."""

import pytest

from knowledge.search.names import masked, names_in, possible_names, whole_names

KNOWN = {"ada brandt", "brandt", "british", "state", "south africa", "who", "night ferry", "radium"}


def _names(question: str) -> list[str]:
    names = whole_names(question, names_in(possible_names(question), KNOWN))
    return [question[name.start : name.end] for name in names]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Who is Ada Brandt?", ["Ada Brandt"]),
        ("Where was BRANDT born?", ["BRANDT"]),
        ("What is Brandt’s place of birth?", ["Brandt"]),
        ("Did Ada Brandt direct the Night Ferry?", ["Ada Brandt", "the Night Ferry"]),
        ("who discovered radium", ["radium"]),
        ("Who is the head of state of South Africa?", ["South Africa"]),
        ("What is the country of the British Army?", []),
        ("Which films are there?", []),
    ],
)
def test_the_longest_whole_names_are_found(question: str, expected: list[str]) -> None:
    """Case, possessives and articles make no difference; a part of an unknown longer name is somebody else."""
    assert _names(question) == expected


def test_masking_leaves_what_is_asked() -> None:
    """Which predicate a question asks for does not depend on whom it asks about."""
    question = "Where was Brandt born?"
    names = names_in(possible_names(question), KNOWN)
    assert masked(question, names) == "Where was it born?"
