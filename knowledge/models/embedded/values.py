"""The dates and numbers that a passage states, by the tokens they stand on."""

import re
from dataclasses import dataclass
from functools import lru_cache

from knowledge.domain import Span
from knowledge.literals import parse_date, parse_number
from knowledge.models.embedded.parsing import Parse

_MONTH = (
    r"(?:January|February|March|April|May|June|July|August|September|October|November|December"
    r"|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec)\.?"
)
_DATE = re.compile(
    rf"\b(?:\d{{1,2}}(?:st|nd|rd|th)?\s+(?:of\s+)?{_MONTH},?\s+\d{{4}}|{_MONTH}\s+\d{{1,2}}(?:st|nd|rd|th)?\s*,?\s+\d{{4}}"
    rf"|\d{{4}}-\d{{2}}-\d{{2}}|{_MONTH},?\s+(?:of\s+)?\d{{4}}|[12]\d{{3}}(?![\d,.]\d|%|\s*(?:m|km|metres|meters|feet)\b))(?!\w)"
)
_PARENTHESIS = re.compile(r"\s*\([^()]{4,160}\)")
_DASH = re.compile(r"[-–—]")
_NUMBER_LABELS = frozenset({"CARDINAL", "QUANTITY", "MONEY", "PERCENT"})


@dataclass(frozen=True, slots=True)
class Value:
    """A value in the text; `kind` is `date` or `number`."""

    span: Span
    kind: str


@lru_cache(maxsize=4)
def find_values(parse: Parse) -> dict[int, Value]:
    """The values of a passage by each of their tokens. Vague dates (decades, "last year") are none."""
    found: dict[int, Value] = {}
    for named in parse.named:
        span = parse.span_of(named.first, named.last)
        if named.label in _NUMBER_LABELS and parse_number(parse.text[span.start : span.end]) is not None:
            found.update({i: Value(span, "number") for i in range(named.first, named.last)})
    dated = {i for named in parse.named if named.label == "DATE" for i in range(named.first, named.last)}
    for match in _DATE.finditer(parse.text):
        span = Span(match.start(), match.end())
        inside = parse.tokens_in(span)
        if parse_date(match.group()) is None or not inside or not _is_date(parse, inside, dated):
            continue
        found.update({i: Value(span, "date") for i in inside})
    for token in parse.tokens:
        if token.pos == "NUM" and token.index not in found and parse_number(token.text) is not None:
            found[token.index] = Value(Span(token.start, token.end), "number")
    return found


def _is_date(parse: Parse, inside: range, dated: set[int]) -> bool:
    """A bare four-digit number is a year where the recogniser, a preposition or a noun it counts says so."""
    if len(inside) > 1 or inside[0] in dated:
        return True
    token = parse.tokens[inside[0]]
    head = parse.tokens[token.head]
    return (token.dep == "pobj" and head.lemma in {"in", "since"}) or (token.dep == "nummod" and head.tag == "NN")


def life_dates(parse: Parse, values: dict[int, Value], head: int) -> tuple[int | None, int | None]:
    """The tokens of birth and death in a parenthesis after a name: "(1810-1849)", "(born 7 May 1900)".

    Each is none where the parenthesis does not say it; one date alone, or a hyphen without two, says nothing.
    """
    start = parse.tokens[head].end
    match = _PARENTHESIS.match(parse.text, start)
    if match is None:
        return (None, None)
    dates = {v.span: i for i, v in sorted(values.items(), reverse=True) if v.kind == "date"}
    inside = sorted(span for span in dates if match.start() <= span.start and span.end <= match.end())
    body = match.group()
    if len(inside) == 2 and _DASH.search(parse.text[inside[0].end : inside[1].start]):
        return (dates[inside[0]], dates[inside[1]])
    if len(inside) == 1 and re.search(r"\b(?:born|b\.)", body):
        return (dates[inside[0]], None)
    return (None, None)


def value_at(parse: Parse, values: dict[int, Value], index: int) -> Value | None:
    """The value that a token, or the number counting it, states."""
    found = values.get(index)
    if found is None and parse.tokens[index].pos == "NOUN":
        counted = parse.dependents(index, "nummod")
        found = values.get(counted[0]) if counted else None
    return found
