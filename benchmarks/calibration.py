"""How well confidences agree with an annotation, and the calibration that makes them agree.

Fits by Newton's method on the log-likelihood, with a ridge that draws the weights towards those that are shipped, so
that few annotated facts change little; a weight that would get the wrong sign is left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from reliability import reliability

from knowledge.stages.confidence import Calibration, Grounds, features_of

_WEIGHTS = ("claim", "record", "repeated", "unnamed", "unquoted", "flagged")
# As if so many observations had said what the shipped weights say.
_RIDGE = 2.0
_STEPS = 30
Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class JudgedFact:
    """What spoke for a fact, and whether it is right; `document` and `ontology` are what it may be held out with."""

    grounds: Grounds
    right: bool
    document: str
    ontology: str


def fit(facts: Sequence[JudgedFact], prior: Calibration, model: str = "") -> Calibration:
    """The calibration under which the facts are likeliest, given the prior one."""
    free: list[str] = list(_WEIGHTS)
    while True:
        found = _fitted(facts, prior, free)
        wrong = min(free, key=lambda name: found[name], default="")
        if not wrong or found[wrong] >= 0:
            return Calibration(model=model, **{name: round(value, 3) for name, value in found.items()})
        free.remove(wrong)


def _fitted(facts: Sequence[JudgedFact], prior: Calibration, free: Sequence[str]) -> dict[str, float]:
    """Bias and weights, those that are not free at zero."""
    features = [features_of(fact.grounds) for fact in facts]
    rows = np.array([[1.0, *(row[name] for name in free)] for row in features])
    right = np.array([float(fact.right) for fact in facts])
    start: Vector = np.array([prior.bias, *(getattr(prior, name) for name in free)])
    weights = start.copy()
    for _ in range(_STEPS):
        likely = 1 / (1 + np.exp(-rows @ weights))
        slope = rows.T @ (right - likely) - _RIDGE * (weights - start)
        curvature = (rows * (likely * (1 - likely))[:, None]).T @ rows + _RIDGE * np.eye(len(start))
        weights = weights + np.linalg.solve(curvature, slope)
    return dict.fromkeys(_WEIGHTS, 0.0) | dict(zip(("bias", *free), map(float, weights), strict=True))


def held_out(
    facts: Sequence[JudgedFact], prior: Calibration, group_of: Callable[[JudgedFact], str]
) -> list[tuple[float, bool]]:
    """Each fact's probability under the calibration that is fitted without its group, and whether it is right."""
    found: list[tuple[float, bool]] = []
    for group in sorted({group_of(fact) for fact in facts}):
        calibration = fit([fact for fact in facts if group_of(fact) != group], prior)
        found.extend((calibration.probability(f.grounds), f.right) for f in facts if group_of(f) == group)
    return found


def calibration_report(facts: Sequence[JudgedFact], shipped: Calibration) -> dict[str, Any]:
    """How the claims, the shipped calibration, and one fitted to these facts, with each held out, agree with them."""
    report: dict[str, Any] = {
        "facts": len(facts),
        "precision": round(sum(fact.right for fact in facts) / len(facts), 4),
        "claimed": reliability([(min(fact.grounds.claim, 0.99), fact.right) for fact in facts]),
        "shipped": reliability([(shipped.probability(fact.grounds), fact.right) for fact in facts]),
    }
    groups: dict[str, Callable[[JudgedFact], str]] = {
        "document": lambda fact: fact.document,
        "ontology": lambda fact: fact.ontology,
    }
    for name, group_of in groups.items():
        if len({group_of(fact) for fact in facts}) > 1:
            report[f"fitted_without_the_{name}"] = reliability(held_out(facts, shipped, group_of))
    return report
