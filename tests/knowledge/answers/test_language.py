"""Questions that are not in English are told apart from short ones."""

import pytest

from knowledge.answers.language import is_english


@pytest.mark.parametrize(
    "question",
    ["When was it born?", "it: director?", "birth date it", "it", "La Dolce Vita: director?", "Who directed Das Boot?"],
)
def test_english_and_few_words_are_read(question: str) -> None:
    """A name and a predicate are enough of a question."""
    assert is_english(question)


@pytest.mark.parametrize(
    "question",
    [
        "Wann wurde it geboren?",
        "Wer entdeckte it?",
        "Où est née it ?",
        "¿Dónde nació it?",
        "Quando è nato it?",
        "Wanneer werd it geboren?",
        "マリ・キュリーはいつ生まれましたか",
        "Когда родилась it?",
    ],
)
def test_other_languages_are_noticed(question: str) -> None:
    """Their words match English predicates by accident only."""
    assert not is_english(question)
