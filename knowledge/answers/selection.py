"""Which of the facts found answer the question, if any: the gate before every answer, extractive or written."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from knowledge.answers.language import is_english
from knowledge.search.dates import is_dated
from knowledge.search.findings import Fact, Findings, FoundFact
from knowledge.search.words import are_related, stems, words

MIN_NAME_FIT = 0.6
MIN_PREDICATE_FIT = 0.42
_NEAR_BEST_PREDICATE = 0.95  # a predicate that fits less well than another one by more than this is not the one asked
_NEAR_BEST_FACT = 0.75
_TIMES = frozenset(("date", "time", "year"))
# Who somebody is to the one that is named: asked about further, it is not the named one who is asked about.
_SOMEBODY_TEXT = """
aunt boss brother child colleague cousin daughter employer father founder friend grandfather grandmother husband
inventor mother neighbour nephew niece parent partner predecessor rival sister son spouse student successor teacher
uncle widow wife
"""
_SOMEBODY = frozenset(stems(_SOMEBODY_TEXT))
_NEGATIONS = frozenset(("except", "never", "no", "nobody", "not", "without"))
_NEGATED = "The graph says what is, and the question asks what is not: ask for what is, and look what is left."
_NOT_ENGLISH = (
    "The question does not seem to be in English, and its words are compared with English ones: ask in English, or "
    "with a chat model (KNOWLEDGE_CHAT__BASE_URL)."
)
_OF_NAME = re.compile(r"\b(?P<before>\w+)\s+of\s+(?:the\s+)?\0|\0['’]s?\s+(?P<after>\w+)")


@dataclass(frozen=True, slots=True)
class Selection:
    """The facts that answer, best first; without any, `reason` says what is missing, in the graph or the question."""

    facts: tuple[FoundFact, ...]
    reason: str = ""
    is_understood: bool = True


def answering_facts(findings: Findings) -> Selection:
    """The facts about what the question names that say what it asks.

    A fact counts only if no other predicate in the organisation's graphs is clearly the better reading of the
    question: asked for a director, the graph does not answer with a producer.
    """
    rest = _without_names(findings, "it")
    if not is_english(rest):
        return Selection((), _NOT_ENGLISH, is_understood=False)
    if any(word in _NEGATIONS or word.endswith("n't") for word in words(rest)):
        return Selection((), _NEGATED, is_understood=False)
    about = _about(findings)
    if not about:
        return Selection((), _nobody(findings))
    dated = [found for found in about if all(_is_of(found.fact, date) for date in findings.dates)]
    best = max((asked.fit for asked in findings.asked), default=0.0)
    asked = [found for found in dated if found.predicate_fit >= max(MIN_PREDICATE_FIT, _NEAR_BEST_PREDICATE * best)]
    asked = _far_enough(findings, asked)
    if not asked:
        names = ", ".join(findings.named or findings.dates) or about[0].fact.subject.label
        when = f" of {', '.join(findings.dates)}" if findings.dates and findings.named else ""
        return Selection((), f"It knows {names}, but no fact{when} that says what is asked.")
    asked, missing = _of_the_kind(findings, asked)
    if not asked:
        return Selection((), missing)
    top = max(found.fit for found in asked)
    return Selection(tuple(found for found in asked if found.fit >= _NEAR_BEST_FACT * top))


def _about(findings: Findings) -> list[FoundFact]:
    """The facts that bear all the names of several, or one much like theirs, or that are reached from them."""
    least = 1.0 if len(findings.named) > 1 else MIN_NAME_FIT
    return [found for found in findings.facts if found.name_fit >= (least if found.hops < 2 else MIN_NAME_FIT)]


def _nobody(findings: Findings) -> str:
    if findings.named:
        together = " together" if len(findings.named) > 1 else ""
        return f"It has no fact about {', '.join(findings.named)}{together}."
    if findings.dates:
        return f"It has no fact of {', '.join(findings.dates)}."
    return "Nothing in it bears a name that the question uses."


def _is_of(fact: Fact, date: str) -> bool:
    """Whether the fact has the date for a value, or its evidence speaks of it."""
    literal = (fact.literal.lexical, fact.literal.surface) if fact.literal else ()
    return is_dated((*literal, *(evidence.text for evidence in fact.evidence)), date)


def _far_enough(findings: Findings, facts: list[FoundFact]) -> list[FoundFact]:
    """Where the question is about "the teacher of X", no facts about X; without any, at most who that is."""
    roles = _roles(findings)
    if not roles:
        return facts
    return [found for found in facts if found.hops > 1] or [
        found for found in facts if _speaks_of(found.fact.predicate_label, roles)
    ]


def _roles(findings: Findings) -> frozenset[str]:
    """What somebody is to the one named, where the question has more words than that ("born", of a teacher)."""
    masked = _without_names(findings, "\0")
    said = {stem for match in _OF_NAME.finditer(masked) for word in match.groups() if word for stem in stems(word)}
    known = {stem for asked in findings.asked for stem in stems(asked.label) if len(stems(asked.label)) == 1}
    roles = frozenset(stem for stem in said if stem in _SOMEBODY or any(are_related(stem, other) for other in known))
    others = set(stems(masked.replace("\0", " "))) - roles
    return roles if others else frozenset()


def _speaks_of(label: str, roles: Iterable[str]) -> bool:
    return all(any(are_related(role, own) for own in stems(label)) for role in roles)


def _without_names(findings: Findings, mask: str) -> str:
    """The question with a mask for each name and date."""
    text = findings.question
    for stretch in sorted((*findings.named, *findings.dates), key=len, reverse=True):
        text = text.replace(stretch, mask)
    return text


def _of_the_kind(findings: Findings, facts: list[FoundFact]) -> tuple[list[FoundFact], str]:
    """Asked who or when, the facts that lead to an entity, or to a value, if there are some; a date is nobody.

    And what to say if there are none. Words of names ask for nothing.
    """
    asked = set(words(_without_names(findings, "it")))
    entities = [found for found in facts if found.fact.object is not None]
    timeless = [found for found in facts if not _TIMES & set(words(found.fact.predicate_label))]
    if asked & {"who", "whom", "whose"}:
        whose = [found for found in facts if _has_value_of(found.fact, findings.dates)]
        return entities or whose or timeless, "It knows when, but not who."
    if "when" in asked:
        return [found for found in facts if found.fact.object is None] or facts, ""
    if "where" in asked:
        return entities or timeless, "It knows when, but not where."
    return facts, ""


def _has_value_of(fact: Fact, dates: Collection[str]) -> bool:
    """Whether its value is of one of the dates that the question gives, which so asks whose it is."""
    literal = fact.literal
    return literal is not None and any(is_dated((literal.lexical, literal.surface), date) for date in dates)
