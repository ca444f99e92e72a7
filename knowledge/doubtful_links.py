"""Pairs of entities that rules cannot tell to be one thing or two, and what a chat model's verdict makes of them.

A verdict is weighed like another reason for or against the link, and undone like any other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from knowledge.domain import Usage
from knowledge.ids import EntityId
from knowledge.linking import PROPOSED_FROM, Described, EntityLink, LinkStatus, judge, may_be_one

# What a model's word adds to what rules say, or takes away.
_SAID_SAME, _SAID_DIFFERENT = 0.3, -0.4
_LEAST_SCORE, _MOST_SCORE = 0.01, 0.99
_MOST_ALIASES, _MOST_FACTS = 6, 12


@dataclass(frozen=True, slots=True)
class DoubtfulPair:
    """Two entities of different documents, with what rules say so far.

    The lines are what a model is shown of either, and all that it may cite.
    """

    one: EntityId
    other: EntityId
    score: float
    reasons: tuple[str, ...]
    one_lines: tuple[str, ...]
    other_lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a model says about a pair, why, and what it cites of either; `same` is None for an answer without use."""

    same: bool | None
    reason: str = ""
    evidence: tuple[str, str] = ("", "")


@dataclass(frozen=True, slots=True)
class Verdicts:
    """One for each pair asked about, in their order, and what the question cost."""

    verdicts: tuple[Verdict, ...]
    usage: Usage


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What descriptions need besides the entities: where each is named, and what classes and predicates are called."""

    contexts: Mapping[EntityId, str]
    names: Mapping[str, str]

    def name(self, iri: str) -> str:
        """What people call a class or predicate."""
        inverse = iri.startswith("^")
        plain = iri.removeprefix("^")
        found = self.names.get(plain) or plain.rsplit("#", 1)[-1].rsplit("/", 1)[-1]
        return f"is {found} of" if inverse else found


def doubtful_pair(one: Described, other: Described, around: Surroundings) -> DoubtfulPair | None:
    """The pair, the same whichever of the two comes first; None when rules link them already, or know better."""
    first, second = sorted((one, other), key=lambda end: end.entity.id)
    link = judge(first, second)
    if not may_be_one(first, second) or (link and link.status is LinkStatus.ACCEPTED):
        return None
    score, reasons = (link.score, link.reasons) if link else (PROPOSED_FROM, ("their descriptions are near",))
    lines = (_lines(end, around) for end in (first, second))
    return DoubtfulPair(first.entity.id, second.entity.id, score, reasons, *lines)


def decided(pair: DoubtfulPair, verdict: Verdict, model: str) -> EntityLink | None:
    """The link that rules and a model's verdict make; None where the verdict says nothing."""
    if verdict.same is None:
        return None
    score = pair.score + (_SAID_SAME if verdict.same else _SAID_DIFFERENT)
    cited = f" (“{verdict.evidence[0]}”; “{verdict.evidence[1]}”)" if verdict.same else ""
    said = f"{model} says that they are {'one' if verdict.same else 'two'}: {verdict.reason}{cited}"
    kept = min(_MOST_SCORE, max(_LEAST_SCORE, score))
    link = EntityLink.between(pair.one, pair.other, kept, (*pair.reasons, said))
    return link if verdict.same else replace(link, status=LinkStatus.DECLINED)


def _lines(end: Described, around: Surroundings) -> tuple[str, ...]:
    """What is known of an entity: names, classes, facts, and where it is named."""
    others = [name for name in end.entity.aliases if name != end.entity.label][:_MOST_ALIASES]
    facts = sorted(f"{around.name(predicate)} {value}" for predicate, value in end.facts)[:_MOST_FACTS]
    said = (
        ("name", end.entity.label),
        ("other names", "; ".join(others)),
        ("classes", "; ".join(map(around.name, end.entity.classes))),
        ("facts", "; ".join(facts)),
        ("text", " ".join(around.contexts.get(end.entity.id, "").split())),
    )
    return tuple(f"{name}: {value}" for name, value in said if value)
