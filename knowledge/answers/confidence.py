"""How sure an answer is: parts that can be looked at, and a value that is a frequency where that could be measured."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

# Fitted by `benchmarks/answers.py` to 2,151 answers to questions about 45 annotated documents (Platt 1999): the
# log-odds that the first fact of an answer is one that answers, over names × predicate.
_SLOPE, _INTERCEPT = 4.43, 1.58


@dataclass(frozen=True, slots=True)
class Confidence:
    """How sure an answer is, from 0 to 1, and why.

    `names`: the question's names are borne by what the facts are about. `predicate`: the facts say what is asked.
    `extraction`: the extractor's own confidence in the best of them. `support`: the share of sentences that held.
    """

    names: float = 0.0
    predicate: float = 0.0
    extraction: float = 0.0
    support: float = 0.0

    @property
    def match(self) -> float:
        """How well the facts fit the question: names × predicate. An order, not a frequency."""
        return self.names * self.predicate

    @property
    def reading(self) -> float:
        """How often an answer from facts that fit so well is one to the question asked: calibrated."""
        return 1 / (1 + math.exp(-(_SLOPE * self.match + _INTERCEPT))) if self.match else 0.0

    @property
    def value(self) -> float:
        """Reading × extraction × support: that the question was read rightly, the fact is true, and the text holds."""
        return round(self.reading * self.extraction * self.support, 4)

    @property
    def parts(self) -> Mapping[str, float]:
        """The parts by name."""
        return {
            "names": round(self.names, 4),
            "predicate": round(self.predicate, 4),
            "reading": round(self.reading, 4),
            "extraction": round(self.extraction, 4),
            "support": round(self.support, 4),
        }
