"""The confidence in an answer: a frequency made of parts, none of which it exceeds."""

import itertools

import pytest

from knowledge.answers.confidence import Confidence


def test_facts_that_fit_better_are_more_often_the_ones_asked_for() -> None:
    """Calibrating must keep the order: whoever sorts by confidence gets the best first."""
    fits = [Confidence(1.0, n / 20, 1.0, 1.0).value for n in range(21)]
    assert all(a < b for a, b in itertools.pairwise(fits))
    assert fits[0] == 0.0
    assert 0.99 < fits[-1] < 1.0


@pytest.mark.parametrize(("extraction", "support"), [(0.5, 1.0), (0.9, 0.25), (0.0, 1.0), (1.0, 0.0)])
def test_a_well_read_question_makes_no_doubtful_fact_sure(extraction: float, support: float) -> None:
    """A fact of which its extractor is half sure is at most half sure as an answer."""
    found = Confidence(1.0, 1.0, extraction, support)
    assert found.value <= extraction * support
    assert found.value == pytest.approx(found.parts["reading"] * extraction * support, abs=1e-3)


def test_no_answer_is_no_confidence() -> None:
    """What is not in the graph has nothing to be sure of."""
    assert Confidence().value == 0.0
