"""Which predicate a question asks about."""

import pytest

from knowledge.search.ports import PredicateHit
from knowledge.search.predicates import asked_predicates

LABELS = (
    "director",
    "producer",
    "date of birth",
    "place of birth",
    "country",
    "country of origin",
    "county",
    "start time",
    "publication date",
)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("Who directed it?", "director"),
        ("What is the country of it?", "country"),
        ("What is the country of origin of it?", "country of origin"),
        ("When was it born?", "date of birth"),
        ("Where was it born?", "place of birth"),
        ("Tell me the county of it", "county"),
    ],
)
def test_words_choose_the_predicate(question: str, expected: str) -> None:
    """No vector is needed where the question uses a predicate's own words, in whatever form."""
    hits = [PredicateHit(f"urn:{label}", label, 0.0) for label in LABELS]
    best, second = asked_predicates(question, hits)[:2]
    assert best.label == expected
    assert best.fit > second.fit


def test_vectors_decide_where_words_differ_and_never_beat_equal_words() -> None:
    """A paraphrase is understood, and a label that is asked for by name stays first."""
    others = [PredicateHit(f"urn:{n}", f"x{n}", 0.1) for n in range(5)]
    hits = [PredicateHit("urn:cast", "cast member", 0.7), PredicateHit("urn:star", "star", 0.1), *others]
    assert asked_predicates("Who played in it?", hits)[0].iri == "urn:cast"
    assert asked_predicates("Who is the star of it?", hits)[0].iri == "urn:star"


def test_a_model_that_puts_everything_near_everything_asks_for_nothing() -> None:
    """Cosines mean something only beside those of the other predicates."""
    hits = [PredicateHit(f"urn:{n}", f"x{n}", 0.80 + n / 500) for n in range(9)]
    assert all(asked.fit < 0.3 for asked in asked_predicates("Who played in it?", hits))


def test_a_question_without_content_asks_for_no_predicate() -> None:
    """ "Who is it?" wants everything there is."""
    assert asked_predicates("Who is it?", [PredicateHit("urn:x", "x", 0.9)])[0].fit == 0.0


def test_a_predicate_is_called_by_its_preferred_name() -> None:
    """The hit that fits best may be a label in another language."""
    hits = [PredicateHit("urn:d", "director", 0.0), PredicateHit("urn:d", "Regisseur", 0.0)]
    (asked,) = asked_predicates("the Regisseur of it", hits)
    assert (asked.label, asked.fit) == ("director", 1.0)
