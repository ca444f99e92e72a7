"""Which of the facts found answer the question, if any: the gate before every answer, extractive or written."""

from dataclasses import dataclass

from knowledge.search.findings import Findings, FoundFact
from knowledge.search.words import words

MIN_NAME_FIT = 0.6
MIN_PREDICATE_FIT = 0.5
_NEAR_BEST_PREDICATE = 0.95  # a predicate that fits less well than another one by more than this is not the one asked
_NEAR_BEST_FACT = 0.75
_TIMES = frozenset(("date", "time", "year"))


@dataclass(frozen=True, slots=True)
class Selection:
    """The facts that answer, best first; without any, `reason` says what is missing."""

    facts: tuple[FoundFact, ...]
    reason: str = ""


def answering_facts(findings: Findings) -> Selection:
    """The facts about what the question names that say what it asks.

    A fact counts only if no other predicate in the organisation's graphs is clearly the better reading of the
    question: asked for a director, the graph does not answer with a producer.
    """
    about = [found for found in findings.facts if found.name_fit >= MIN_NAME_FIT]
    if not about:
        return Selection((), _nobody(findings))
    best = max((asked.fit for asked in findings.asked), default=0.0)
    asked = [found for found in about if found.predicate_fit >= max(MIN_PREDICATE_FIT, _NEAR_BEST_PREDICATE * best)]
    if not asked:
        names = ", ".join(findings.named) or about[0].fact.subject.label
        return Selection((), f"It knows {names}, but no fact that says what is asked.")
    asked = _of_the_kind(findings.question, asked)
    if not asked:
        return Selection((), "It knows when, but not where.")
    top = max(found.fit for found in asked)
    return Selection(tuple(found for found in asked if found.fit >= _NEAR_BEST_FACT * top))


def _nobody(findings: Findings) -> str:
    if findings.named:
        return f"It has no fact about {', '.join(findings.named)} together."
    return "Nothing in it bears a name that the question uses."


def _of_the_kind(question: str, facts: list[FoundFact]) -> list[FoundFact]:
    """Asked who or when, the facts that lead to an entity, or to a value, if there are some; a date is no place."""
    asked = set(words(question))
    entities = [found for found in facts if found.fact.object is not None]
    if asked & {"who", "whom", "whose"}:
        return entities or facts
    if "when" in asked:
        return [found for found in facts if found.fact.object is None] or facts
    if "where" in asked:
        return entities or [found for found in facts if not _TIMES & set(words(found.fact.predicate_label))]
    return facts
