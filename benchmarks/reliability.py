"""How well confidences agree with what turned out to be right."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

TENTHS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


def reliability(judged: Sequence[tuple[float, bool]], borders: Sequence[float] = TENTHS) -> dict[str, Any]:
    """Confidences and frequencies, between each two borders and over all; `judged` is (confidence, whether right).

    `ece` is the expected calibration error (Naeini, Cooper and Hauskrecht 2015): the distance of the two, averaged
    over what is judged; `brier` the mean squared distance of confidence and truth.
    """
    bins: list[dict[str, Any]] = []
    far = 0.0
    for low, high in pairwise(borders):
        inside = [one for one in judged if low <= one[0] < high or one[0] == high == borders[-1]]
        if inside:
            confidence = sum(one for one, _ in inside) / len(inside)
            right = sum(is_right for _, is_right in inside) / len(inside)
            far += abs(confidence - right) * len(inside)
            bins.append(
                {
                    "from": low,
                    "to": high,
                    "judged": len(inside),
                    "confidence": round(confidence, 4),
                    "right": round(right, 4),
                }
            )
    n = max(1, len(judged))
    brier = sum((confidence - is_right) ** 2 for confidence, is_right in judged) / n
    return {"judged": len(judged), "ece": round(far / n, 4), "brier": round(brier, 4), "bins": bins}
