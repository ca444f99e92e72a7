"""How likely facts are right, by what speaks for them."""

from dataclasses import replace
from pathlib import Path

import pytest

from knowledge.domain import Extractor
from knowledge.errors import ConfigurationError
from knowledge.findings import Support
from knowledge.stages.confidence import RULES, UNKNOWN_MODEL, Calibration, Grounds, read_calibration, record_of

GOOD = Grounds(0.8, Support.QUOTED, 2, 0.9)
BY = Extractor("chat", "some-model")


@pytest.mark.parametrize("calibration", [RULES, UNKNOWN_MODEL])
def test_less_support_never_makes_a_fact_likelier(calibration: Calibration) -> None:
    """Whoever filters by confidence must not lose the better grounded of two facts."""
    worse = [
        replace(GOOD, claim=0.6),
        replace(GOOD, support=Support.UNNAMED),
        replace(GOOD, support=Support.UNQUOTED),
        replace(GOOD, places=1),
        replace(GOOD, record=0.4),
        replace(GOOD, flagged=True),
    ]
    assert all(calibration.probability(grounds) <= calibration.probability(GOOD) for grounds in worse)
    assert any(calibration.probability(grounds) < calibration.probability(GOOD) for grounds in worse)


def test_nothing_is_certain() -> None:
    """A model that claims certainty, or impossibility, is not taken at its word."""
    sure, impossible = Grounds(1.0, places=1000), Grounds(0.0, Support.UNQUOTED, flagged=True)
    assert (RULES.probability(sure), RULES.probability(impossible)) == (0.99, 0.01)


def test_a_model_is_known_by_what_it_did_on_the_document() -> None:
    """Few statements say little, many say nearly all."""
    assert record_of(0, 0) == 0.8
    assert record_of(2, 8) > record_of(20, 80) > 0.2
    assert record_of(100, 0) > 0.95


def test_a_calibration_is_refused_for_another_model(tmp_path: Path) -> None:
    """Weights that fit one model are wrong for the next, and nobody would notice."""
    path = tmp_path / "calibration.json"
    path.write_text(UNKNOWN_MODEL.model_copy(update={"model": "some-model"}).model_dump_json(), "utf-8")
    assert read_calibration(path, BY).record == UNKNOWN_MODEL.record
    with pytest.raises(ConfigurationError, match="fitted to some-model"):
        read_calibration(path, Extractor("chat", "another"))


@pytest.mark.parametrize("content", ["", "{}", '{"bias": 0, "claim": -1}'])
def test_what_is_no_calibration_is_refused_with_what_to_do(tmp_path: Path, content: str) -> None:
    """Else every fact would silently get another confidence."""
    path = tmp_path / "calibration.json"
    path.write_text(content, "utf-8")
    with pytest.raises(ConfigurationError, match="--fit"):
        read_calibration(path, BY)
