"""Finds titles and defined names by how they are written: in quotation marks, or before "is a"."""

import re
from collections.abc import Iterable

from knowledge.domain import Span
from knowledge.models.embedded.lexicon import VALUE_LABELS, taxonomy, word_set
from knowledge.models.embedded.parsing import NamedSpan, Parse

FIXED_VALUES = VALUE_LABELS - {"CARDINAL", "ORDINAL"}
_DEFINABLE = frozenset({"work", "place", "organization", "person", "event", "product", "award", "language"})
_TITLE_WORD = r"(?:[A-Z0-9#][^\s()\"“”,;]*|[&:–-])"
_TITLED = re.compile(
    rf"(?P<title>{_TITLE_WORD}(?: (?:{_TITLE_WORD}|of|the|and|to|in|on|for|a|an|at|with|from|by|'s|or|de|la|as|into))*)"
    r"(?: ?\([^()]{0,160}\))?(?:, (?:also|originally|known|or|formerly|stylized|released|officially) [^,]{1,80})?,?"
    r" (?:is|was|are|were) (?:a|an|the|one)\b"
)
_ACRONYM = re.compile(r"\((?P<short>[A-Z]{2,8})\)")
_QUOTED = re.compile(r"[\"“](?P<title>[A-Z0-9][^\"“”\n]{0,70}[^\s\"“”,.])[,.]?[\"”]")


def find_titles(parse: Parse) -> Iterable[NamedSpan]:
    """Titles in quotation marks, and names that a sentence begins with to say what they are."""
    for match in _QUOTED.finditer(parse.text):
        words = match["title"].split()
        if len(words) <= 9 and all(w[0].isupper() or not w[0].isalpha() for w in words if len(w) > 4):
            yield from _aligned(parse, Span(*match.span("title")), "WORK_OF_ART")
    text = parse.text.replace("\n", " ")
    for sentence in parse.sentences:
        match = _TITLED.match(text, sentence.span.start, sentence.span.end)
        kinds = _defined_kinds(parse, sentence.first, match.end()) if match else frozenset[str]()
        if match is None or not kinds & _DEFINABLE:
            continue
        words = match["title"].split()
        opens_oddly = words[0].lower() in word_set("sentence_openers")
        if opens_oddly and (len(words) < 2 or "work" not in kinds) and words[0] not in {"The", "A"}:
            continue
        if words[-1][0].isupper() or words[-1][0].isdigit():
            start = match.start() + (len(words[0]) + 1 if opens_oddly and "work" not in kinds else 0)
            yield from _aligned(parse, Span(start, match.end("title")), "WORK_OF_ART" if "work" in kinds else "")


def find_acronyms(parse: Parse) -> Iterable[NamedSpan]:
    """Acronyms in parentheses after the words that they abbreviate: "World Health Organization (WHO)"."""
    for match in _ACRONYM.finditer(parse.text):
        words = parse.text[max(0, match.start() - 120) : match.start()].split()
        initials = "".join(word[0] for word in words if word[0].isupper())
        if initials.endswith(match["short"]):
            yield from _aligned(parse, Span(*match.span("short")), "ORG")


def _defined_kinds(parse: Parse, first: int, end: int) -> frozenset[str]:
    """What a sentence that begins "X is a" says X is: the noun after the article whose span ends at `end`."""
    index = next((i for i in range(first, len(parse.tokens)) if parse.tokens[i].end >= end), None)
    if index is None:
        return frozenset()
    noun = parse.tokens[parse.tokens[index].head]
    return taxonomy().broader_than(noun.lemma) if noun.dep in {"attr", "ROOT", "nsubj"} else frozenset()


def _aligned(parse: Parse, span: Span, label: str) -> Iterable[NamedSpan]:
    """The span in tokens, when it begins and ends where tokens do."""
    inside = parse.tokens_in(span)
    if inside and parse.tokens[inside[0]].start == span.start and parse.tokens[inside[-1]].end == span.end:
        labels = {s.label for s in parse.named if inside[0] <= s.first and s.last <= inside[-1] + 1}
        whole = next((s.label for s in parse.named if (s.first, s.last) == (inside[0], inside[-1] + 1)), label)
        if not labels & FIXED_VALUES:
            yield NamedSpan(inside[0], inside[-1] + 1, "" if whole in VALUE_LABELS else whole)
