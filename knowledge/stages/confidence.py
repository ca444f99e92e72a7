"""How likely a fact is right: what its extractor claims, weighed by what the text and the ontology bear out.

A logistic model with few weights, each of one sign: more support never makes a fact less likely. The weights below
were fitted to annotated documents; docs/fidelity.md has the figures, also for what was held out.
"""

import math
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from knowledge.domain import Extractor
from knowledge.errors import ConfigurationError
from knowledge.findings import Support
from knowledge.ids import digest_of

_LEAST, _MOST = 0.01, 0.99
# An extractor about which nothing is known yet counts as one of whose statements four in five hold, by ten of them.
_UNTRIED, _UNTRIED_STATEMENTS = 0.8, 10


@dataclass(frozen=True, slots=True)
class Grounds:
    """What speaks for a fact: its strongest statement, and how many places of the document state it.

    `record` is the share of the extractor's statements about the document that the text bears out (`record_of`).
    """

    claim: float
    support: Support = Support.QUOTED
    places: int = 1
    record: float = 1.0
    flagged: bool = False


class Calibration(BaseModel):
    """Weights in log-odds. `claim` and `record` weigh log-odds, `repeated` each doubling of the places.

    `unnamed`, `unquoted` and `flagged` are taken off. `model` names the extractor that the weights were fitted to;
    without one they are for any.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: str = ""
    bias: float
    claim: float = Field(ge=0)
    record: float = Field(ge=0)
    repeated: float = Field(ge=0)
    unnamed: float = Field(ge=0)
    unquoted: float = Field(ge=0)
    flagged: float = Field(ge=0)

    @property
    def digest(self) -> str:
        """Changes whenever a fact could be given another confidence."""
        return digest_of(self.model_dump_json(exclude={"model"}), str((_UNTRIED, _UNTRIED_STATEMENTS)))

    def probability(self, grounds: Grounds) -> float:
        """How likely the fact is right, between 0.01 and 0.99: nothing is certain."""
        odds = self.bias + sum(getattr(self, name) * value for name, value in features_of(grounds).items())
        return round(bounded(1 / (1 + math.exp(-odds))), 4)


def features_of(grounds: Grounds) -> dict[str, float]:
    """What the weights of a calibration apply to, by their names."""
    return {
        "claim": log_odds(grounds.claim),
        "record": log_odds(grounds.record),
        "repeated": math.log2(grounds.places),
        "unnamed": -float(grounds.support is Support.UNNAMED),
        "unquoted": -float(grounds.support is Support.UNQUOTED),
        "flagged": -float(grounds.flagged),
    }


def record_of(held: int, failed: int) -> float:
    """The share of an extractor's statements that hold, shrunk towards what is supposed of an unknown one.

    What can be checked without understanding (are the ends, the value, the quotation in the passage?) tells how far
    to believe what cannot.
    """
    return (held + _UNTRIED * _UNTRIED_STATEMENTS) / (held + failed + _UNTRIED_STATEMENTS)


def log_odds(probability: float) -> float:
    """The logarithm of the odds of a probability, which is kept away from 0 and 1."""
    kept = bounded(probability)
    return math.log(kept / (1 - kept))


def bounded(probability: float) -> float:
    """The probability, no nearer to 0 or 1 than can be known."""
    return min(_MOST, max(_LEAST, probability))


RULES = Calibration(bias=0.0, claim=1.0, record=0.0, repeated=0.15, unnamed=0.0, unquoted=0.0, flagged=1.0)
"""For the embedded extractor, whose claims are shares counted on annotated text."""
UNKNOWN_MODEL = Calibration(bias=0.0, claim=0.0, record=1.0, repeated=0.7, unnamed=2.1, unquoted=2.1, flagged=1.7)
"""For a chat model of which nothing is known but how it did on the document at hand.

Fitted to the answers of two models (945 facts); its own confidence counts for nothing until somebody has measured it.
"""


def read_calibration(path: Path, extractor: Extractor) -> Calibration:
    """The calibration in a file, when it is the extractor's.

    Raises:
        ConfigurationError: it cannot be read, is none, or was fitted to another model.
    """
    try:
        found = Calibration.model_validate_json(path.read_bytes())
    except (OSError, ValidationError) as error:
        raise ConfigurationError(
            f"{path} is no calibration ({error}); make one with benchmarks/fidelity.py --fit"
        ) from error
    if found.model and found.model != extractor.model:
        raise ConfigurationError(
            f"{path} was fitted to {found.model}, and facts are extracted by {extractor.model}: fit one for that "
            "model, or unset KNOWLEDGE_CALIBRATION"
        )
    return found
