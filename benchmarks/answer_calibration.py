"""Whether a confidence is a frequency: what it is fitted to, and how far off it is on what it was not fitted to."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from reliability import reliability

_BORDERS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
_STEPS = 25


@dataclass(frozen=True, slots=True)
class Judged:
    """An answer: its raw score and its confidence, both from 0 to 1, and whether it was right."""

    score: float
    confidence: float
    is_right: bool


def is_of_second_half(subject: str) -> bool:
    """To which half of all subjects it belongs."""
    return hashlib.sha256(subject.encode()).digest()[0] % 2 == 1


def fitted(judged: Sequence[Judged]) -> tuple[float, float]:
    """Slope and intercept of the log-odds that an answer is right, over its raw score.

    Platt, "Probabilistic outputs for support vector machines", 1999, with his targets, which keep a fit to answers
    that are nearly all right from certainty; maximum likelihood by Newton's method.
    """
    right = sum(one.is_right for one in judged)
    high, low = (right + 1) / (right + 2), 1 / (len(judged) - right + 2)
    score = np.array([one.score for one in judged])
    target = np.where([one.is_right for one in judged], high, low)
    columns = np.stack([score, np.ones_like(score)], axis=1)
    line = np.zeros(2)
    for _ in range(_STEPS):
        share = 1 / (1 + np.exp(-columns @ line))
        curvature = columns.T @ (columns * (share * (1 - share))[:, None])
        line += np.linalg.solve(curvature, columns.T @ (target - share))
    return float(line[0]), float(line[1])


def cross_fitted(judged: Sequence[Judged], second: Sequence[bool]) -> list[Judged]:
    """The answers with the confidence that a fit to the other half gives them; `second` says of which half each is.

    No answer is judged by a fit that has seen its subject. Empty where a half is.
    """
    halves = [[one for one, held in zip(judged, second, strict=True) if held is side] for side in (False, True)]
    if not all(halves):
        return []
    lines = [fitted(half) for half in halves]
    return [
        replace(one, confidence=1 / (1 + math.exp(-(slope * one.score + intercept))))
        for half, (slope, intercept) in zip(halves, reversed(lines), strict=True)
        for one in half
    ]


def agreement(judged: Sequence[Judged]) -> dict[str, Any]:
    """How far confidences are frequencies; most of them are high, so the ranges are narrow there."""
    return reliability([(one.confidence, one.is_right) for one in judged], _BORDERS)
