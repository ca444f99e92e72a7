"""Literals in XSD form from what a text says: dates, years, numbers with scale words, booleans, strings."""

import re
from decimal import Decimal, InvalidOperation

from knowledge.domain import Literal, Span

XSD = "http://www.w3.org/2001/XMLSchema#"
_MONTHS = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
]
_MONTH_NUMBERS = {name[:length]: n for n, name in enumerate(_MONTHS, 1) for length in (3, 4, len(name))}
_MONTH = r"(?P<month>[A-Za-z]{3,9})\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?"
_YEAR = r"(?P<year>\d{4})"
_DATES = tuple(
    re.compile(pattern)
    for pattern in (
        rf"(?:the\s+)?{_DAY}\s+(?:of\s+)?{_MONTH},?\s+{_YEAR}",
        rf"{_MONTH}\s+{_DAY}\s*,?\s+{_YEAR}",
        rf"{_YEAR}-(?P<month>\d{{2}})-(?P<day>\d{{2}})(?:T[\d:.]+(?:Z|[+-]\d\d:?\d\d)?)?",
        rf"{_MONTH},?\s+(?:of\s+)?{_YEAR}",
        rf"{_YEAR}-(?P<month>\d{{2}})",
        rf"(?:the\s+year\s+)?{_YEAR}(?:\s+(?P<era>AD|CE))?",
    )
)
_DATE_LEAD = re.compile(r"^(?:on|in|since|from|by|circa|around|about|c\.|ca\.)\s+", re.IGNORECASE)
_WEEKDAY = re.compile(r"^(?:mon|tues|wednes|thurs|fri|satur|sun)day,?\s+", re.IGNORECASE)
_DATE_SAID = re.compile(
    r"\b(?:\d{1,2}(?:st|nd|rd|th)?\s+(?:of\s+)?[A-Z][a-z]{2,8}\.?,?\s+\d{4}|[A-Z][a-z]{2,8}\.?\s+\d{1,2}(?:st|nd|rd|th)?\s*,?\s+\d{4}"
    r"|[A-Z][a-z]{2,8},?\s+\d{4}|\d{4}-\d\d(?:-\d\d)?|\d{4})\b"
)
_NUMBER_SAID = re.compile(r"[-−]?\d[\d,.\u00a0\u202f]*\d?(?:\s*(?:hundred|thousand|million|billion|trillion|bn)\b)?")
_SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12, "bn": 9}
_UNIT_WORDS = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_SMALL = {word: n for n, word in enumerate(_UNIT_WORDS)} | {
    word: 10 * n
    for n, word in enumerate(["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"], 2)
}
_NUMBER = re.compile(
    r"(?P<sign>[-−+])?(?P<digits>\d{1,3}(?:[,\u00a0\u202f ]\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)"
    r"(?:\s*(?P<scale>hundred|thousand|million|billion|trillion|bn)\b)?",
    re.IGNORECASE,
)
_INTEGERS = frozenset(
    [
        "integer",
        "int",
        "long",
        "short",
        "byte",
        "nonNegativeInteger",
        "positiveInteger",
        "nonPositiveInteger",
        "negativeInteger",
        "unsignedInt",
        "unsignedLong",
        "unsignedShort",
        "unsignedByte",
    ]
)
_REALS = frozenset({"decimal", "double", "float"})
_TRUE, _FALSE = frozenset({"true", "yes", "1"}), frozenset({"false", "no", "0"})
DATE_PARTS = {"date": 3, "dateTime": 3, "gYearMonth": 2, "gYear": 1}
"""The datatypes of dates, and how many of year, month and day each has."""


def normalise_literal(surface: str, ranges: tuple[str, ...]) -> Literal:
    """The typed value of `surface`: of the first datatype of `ranges` that it fits, or of a guessed one.

    A date said less precisely than `xsd:date` asks for keeps the precision it has (`xsd:gYear`, `xsd:gYearMonth`).
    What fits none of the ranges, and ranges that are not XSD types known here, give `xsd:string`.
    """
    text = " ".join(surface.split())
    names = [iri.removeprefix(XSD) for iri in ranges if iri.startswith(XSD)]
    for name in names:
        found = _typed(text, name)
        if found is not None:
            return Literal(found[0], XSD + found[1], surface)
    if not ranges or any(not iri.startswith(XSD) for iri in ranges):
        found = _guessed(text)
        if found is not None:
            return Literal(found[0], XSD + found[1], surface)
    return Literal(text, XSD + "string", surface)


def fits(literal: Literal, ranges: tuple[str, ...]) -> bool:
    """Whether a literal made by `normalise_literal` is of one of the datatypes; dates may be less precise."""
    names = {iri.removeprefix(XSD) for iri in ranges if iri.startswith(XSD)}
    name = literal.datatype.removeprefix(XSD)
    return not names or name in names or (name in DATE_PARTS and bool(names & {"date", "dateTime"}))


def find_value(text: str, said: str, ranges: tuple[str, ...]) -> Span | None:
    """Where `text` says the date or number that `said` means in another way of writing: `1901-05-04` for `4 May 1901`.

    Else where it says the month or year of a date that is made up beyond it. A span relative to `text`, or none.
    """
    wanted = normalise_literal(said, ranges)
    if wanted.datatype == XSD + "string":
        wanted = normalise_literal(said, ())
    name = wanted.datatype.removeprefix(XSD)
    pattern = _DATE_SAID if name in DATE_PARTS else _NUMBER_SAID if name in _INTEGERS | _REALS else None
    vaguer: list[Span] = []
    for match in pattern.finditer(text) if pattern else ():
        found = normalise_literal(match.group(), (wanted.datatype,))
        if (found.lexical, found.datatype) == (wanted.lexical, wanted.datatype):
            return Span(*match.span())
        if name in DATE_PARTS and wanted.lexical.startswith(f"{found.lexical}-"):
            vaguer.append(Span(*match.span()))
    return vaguer[0] if vaguer else None


def _typed(text: str, name: str) -> tuple[str, str] | None:
    """Lexical form and datatype name of `text` read as the datatype `name`, if it can be."""
    if name in DATE_PARTS:
        return _date(text, name)
    if name in _INTEGERS or name in _REALS:
        return _numeric(text, name)
    if name == "boolean":
        word = text.lower()
        return ("true" if word in _TRUE else "false", name) if word in _TRUE | _FALSE else None
    if name == "anyURI":
        return (text, name) if re.fullmatch(r"[A-Za-z][\w+.-]*:\S+", text) else None
    return (text, name) if name in {"string", "normalizedString", "token"} else None


def _guessed(text: str) -> tuple[str, str] | None:
    found = parse_date(text)
    if found is not None:
        return found
    value = parse_number(text) if _NUMBER.fullmatch(text) or text.lower() in _SMALL else None
    if value is None:
        return None
    return (_plain(value), "integer" if value == value.to_integral_value() else "decimal")


def _date(text: str, name: str) -> tuple[str, str] | None:
    found = parse_date(text)
    if found is None:
        return None
    lexical, kind = found
    wanted = DATE_PARTS[name]
    if DATE_PARTS[kind] < wanted:
        return found
    if name == "dateTime":
        return (lexical + "T00:00:00", name)
    return ("-".join(lexical.split("-")[:wanted]), name)


def _numeric(text: str, name: str) -> tuple[str, str] | None:
    value = parse_number(text)
    if value is None:
        return None
    if name in _REALS:
        return (_plain(value), name)
    if value != value.to_integral_value():
        return None
    if (value < 0 and name.startswith(("nonNegative", "positive", "unsigned"))) or (
        value == 0 and name == "positiveInteger"
    ):
        return None
    return (_plain(value), name)


def parse_date(surface: str) -> tuple[str, str] | None:
    """The lexical form and its type's name (`date`, `gYearMonth` or `gYear`) of an English or ISO date.

    None for anything vaguer (decades, spans, days without a year) and for dates that do not exist.
    """
    text = _WEEKDAY.sub("", _DATE_LEAD.sub("", " ".join(surface.split()).strip(" ,.;")))
    for pattern in _DATES:
        match = pattern.fullmatch(text)
        parts = _parts(match.groupdict()) if match else None
        if parts is not None:
            return parts
    return None


def _parts(groups: dict[str, str | None]) -> tuple[str, str] | None:
    year, month, day = groups["year"] or "", groups.get("month"), groups.get("day")
    if month is None:
        return (year, "gYear")
    number = int(month) if month.isdigit() else _MONTH_NUMBERS.get(month.lower(), 0)
    if not 1 <= number <= 12:
        return None
    if day is None:
        return (f"{year}-{number:02d}", "gYearMonth")
    if not 1 <= int(day) <= _days(int(year), number):
        return None
    return (f"{year}-{number:02d}-{int(day):02d}", "date")


def _days(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in {4, 6, 9, 11} else 31


def parse_number(surface: str) -> Decimal | None:
    """The number that `surface` states, whatever unit or currency stands around it: `$1.2 million` is 1200000.

    None when it states no number, or more than one.
    """
    found = list(_NUMBER.finditer(surface))
    if len(found) != 1:
        return _worded(surface) if not found else None
    match = found[0]
    before = surface[: match.start()].rstrip()
    try:
        value = Decimal(re.sub(r"[,\s]", "", match["digits"]))
    except InvalidOperation:
        return None
    if match["sign"] in {"-", "−"} and not before:
        value = -value
    return value.scaleb(_SCALES[match["scale"].lower()]) if match["scale"] else value


def without_unit(surface: str) -> str:
    """The number of `surface` as it is written, without the unit or currency around it: `1,121` of `1,121 metres`."""
    found = list(_NUMBER.finditer(surface))
    return found[0].group() if len(found) == 1 else surface


def _worded(surface: str) -> Decimal | None:
    """`twenty-five`, `three hundred`, `two million`: the number that words state, if they do."""
    total, current, seen = 0, 0, False
    for word in re.findall(r"[a-z]+", surface.lower()):
        if word in _SMALL:
            current, seen = current + _SMALL[word], True
        elif word == "hundred" and seen:
            current *= 100
        elif word in {"thousand", "million", "billion", "trillion"} and seen:
            total, current = total + current * 10 ** _SCALES[word], 0
        elif seen and word != "and":
            break
    return Decimal(total + current) if seen else None


def _plain(value: Decimal) -> str:
    """Canonical digits: no exponent, no trailing zeros after the point."""
    text = format(value, "f")
    return (text.rstrip("0").rstrip(".") if "." in text else text) or "0"
