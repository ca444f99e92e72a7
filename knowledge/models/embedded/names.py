"""Finds the names in a parsed passage: the recogniser's spans, mended, and those that it misses."""

import re
from collections.abc import Iterable

from knowledge.domain import Span
from knowledge.models.embedded.lexicon import STYLES, TITLES, VALUE_LABELS, nationalities, taxonomy
from knowledge.models.embedded.loading import required
from knowledge.models.embedded.parsing import NamedSpan, Parse, Token, is_known

_FIXED_VALUES = VALUE_LABELS - {"CARDINAL", "ORDINAL"}
_CONNECTORS = frozenset(["of", "de", "van", "von", "der", "den", "la", "le", "du", "da", "di", "del", "al", "&", "the"])
_OF_HEADS = frozenset({"organization", "event", "award", "territory", "facility", "law", "landform", "body of water"})
_CALENDAR = frozenset(
    ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday", "christmas", "easter"]
)
_TITLED = re.compile(
    r"(?P<title>[A-Z0-9][\w'’.&:!?,/-]*(?: (?:[A-Z0-9&][\w'’.&:!?,/-]*|of|the|and|to|in|on|for|a|an|at|with|from|by|'s|de|la))*"
    r" (?:[A-Z0-9][\w'’.&:!?/-]*)|[A-Z][\w'’-]+)(?: \([^()]{1,120}\))?,? (?:is|was|are|were) (?:a|an|the|one)\b"
)
_QUOTED = re.compile(r"[\"“](?P<title>[A-Z0-9][^\"“”\n]{0,70}[^\s\"“”,.])[,.]?[\"”]")
_NOT_TITLES = frozenset(
    ["this", "that", "these", "those", "it", "he", "she", "they", "there", "here", "what", "who", "which", "his", "her", "its", "their", "our", "my", "your", "another", "some", "many", "most", "all", "each", "every", "one", "two", "three", "both", "i", "we", "you", "the", "a", "an", "in", "on", "at", "by", "for", "from", "with", "when", "while", "after", "before", "during", "since", "until", "although", "as", "if", "but", "and", "or", "so", "yet", "also", "later", "today", "however"]
)


def find_names(parse: Parse) -> tuple[NamedSpan, ...]:
    """Tokens that name things, in order and without overlap; the label is empty where only the case shows a name.

    Nationalities (NORP) are among them; pronouns, dates, quantities and money are not.
    """
    found: list[NamedSpan] = []
    taken = bytearray(len(parse.tokens))
    things = [span for span in (_trimmed(parse, s) for s in parse.named if s.label not in VALUE_LABELS) if span]
    things = [_unlabelled(parse, span) for span in things]
    runs = list(_runs(parse))
    candidates = [*_titles(parse), *_extended(parse, runs, things), *things, *_unnamed(parse, runs)]
    for span in candidates:
        if not any(taken[span.first : span.last]):
            taken[span.first : span.last] = b"\1" * (span.last - span.first)
            found.append(span)
    found.extend(_repeated(parse, found, taken))
    return tuple(sorted(found, key=lambda span: span.first))


def _trimmed(parse: Parse, span: NamedSpan) -> NamedSpan | None:
    """The span without determiners, titles, possessive endings and punctuation at its ends."""
    first, last = span.first, span.last
    tokens = parse.tokens
    if span.label == "PERSON" and first > 0 and tokens[first - 1].text.lower() in STYLES and tokens[first - 1].text[0].isupper():
        first -= 1
    while first < last and _is_lead(tokens[first], span.label, is_last=last - first == 1):
        first += 1
    while last > first and (tokens[last - 1].tag in {"POS", "_SP"} or not tokens[last - 1].text[-1].isalnum()):
        if tokens[last - 1].text[-1:] == "." and len(tokens[last - 1].text) > 1:
            break
        last -= 1
    body = tokens[first:last]
    if not body or not any(t.text[:1].isupper() or t.text[:1].isdigit() for t in body):
        return None
    if len(body) == 1 and (body[0].pos == "PRON" or body[0].text.lower() in _CALENDAR | _NOT_TITLES | TITLES):
        return None
    shouted = len(body) == 1 and body[0].text.isupper() and len(body[0].text) > 1
    if shouted and (is_known(body[0].text.lower(), "NOUN") or is_known(body[0].text.lower(), "VERB")):
        return None
    return NamedSpan(first, last, span.label)


def _unlabelled(parse: Parse, span: NamedSpan) -> NamedSpan:
    """People have no article: "the Danube" is no person, whatever the recogniser says; nor is a person in a "the"."""
    before = parse.tokens[span.first - 1] if span.first > 0 else None
    if span.label == "PERSON" and before is not None and before.lemma == "the" and span.first <= before.head < span.last:
        return NamedSpan(span.first, span.last, "")
    return span


def _is_lead(token: Token, label: str, *, is_last: bool) -> bool:
    if token.tag in {"DT", "PRP$", "_SP", "POS"} or not (token.text[0].isalnum() or token.text[0] in "$#@"):
        return token.text != "The" or label not in {"WORK_OF_ART"}
    return label == "PERSON" and not is_last and token.text.rstrip(".").lower() in TITLES - STYLES


def _titles(parse: Parse) -> Iterable[NamedSpan]:
    """Titles in quotation marks, and names that a sentence begins with to say what they are."""
    for match in _QUOTED.finditer(parse.text):
        words = match["title"].split()
        if len(words) <= 9 and all(w[0].isupper() or not w[0].isalpha() for w in words if len(w) > 4):
            yield from _aligned(parse, Span(*match.span("title")), "WORK_OF_ART")
    for sentence in parse.sentences:
        match = _TITLED.match(parse.text.replace("\n", " "), sentence.span.start, sentence.span.end)
        if match is None:
            continue
        words = match["title"].split()
        if len(words) == 1 and _is_defined(parse, sentence.first):
            yield from _aligned(parse, Span(*match.span("title")), "")
        plain = len(words) < 2 or any(w[:1].islower() or w.lower() in {"a", "an", "the"} for w in words)
        if plain and words[0].lower() not in _NOT_TITLES - {"the", "a", "an"} and len(words) > 1 and "," not in match["title"]:
            yield from _aligned(parse, Span(*match.span("title")), "")


def _is_defined(parse: Parse, index: int) -> bool:
    """Whether a sentence begins with one bare word that it then calls a work, place, organization or person."""
    token = parse.tokens[index]
    verb = parse.tokens[token.head]
    if token.dep != "nsubj" or verb.lemma != "be" or parse.children[index]:
        return False
    kinds = taxonomy()
    return any(
        kinds.broader_than(parse.tokens[i].lemma) & {"work", "place", "organization", "person", "event", "product"}
        for i in parse.dependents(verb.index, "attr")
    )


def _aligned(parse: Parse, span: Span, label: str) -> Iterable[NamedSpan]:
    """The span in tokens, when it begins and ends where tokens do."""
    inside = parse.tokens_in(span)
    if inside and parse.tokens[inside[0]].start == span.start and parse.tokens[inside[-1]].end == span.end:
        labels = {s.label for s in parse.named if inside[0] <= s.first and s.last <= inside[-1] + 1}
        whole = next((s.label for s in parse.named if (s.first, s.last) == (inside[0], inside[-1] + 1)), label)
        if not labels & _FIXED_VALUES:
            yield NamedSpan(inside[0], inside[-1] + 1, "" if whole in VALUE_LABELS else whole)


def _runs(parse: Parse) -> Iterable[tuple[int, int]]:
    """Maximal runs `[first, last)` of capitalised words within a sentence, joined by words such as "of"."""
    values = {i for s in parse.named if s.label in _FIXED_VALUES for i in range(s.first, s.last)}
    for sentence in parse.sentences:
        index = sentence.first
        while index < sentence.last:
            if index in values or not _is_name_word(parse.tokens[index], sentence.first):
                index += 1
                continue
            last = index + 1
            while (following := _next_in_run(parse, last, sentence.last, values)) > last:
                last = following
            yield index, last
            index = last


def _next_in_run(parse: Parse, last: int, limit: int, values: set[int]) -> int:
    tokens = parse.tokens
    if last < limit and last not in values and (_is_name_word(tokens[last], -1) or _continues(tokens[last])):
        return last + 1
    after = last
    while after < limit and tokens[after].text.lower() in _CONNECTORS and after - last < 2:
        after += 1
    if after == last or after >= limit or after in values or not _is_name_word(tokens[after], -1):
        return last
    return after + 1 if tokens[last].text != "of" or _heads_of_name(tokens[last - 1]) else last


def _is_name_word(token: Token, sentence_first: int) -> bool:
    """Whether a word is written and used as (part of) a name; the first of a sentence must be a proper noun."""
    if not token.text[0].isupper() or token.text.lower() in _CALENDAR:
        return False
    if token.pos == "PROPN":
        return True
    return (token.index != sentence_first and token.pos in {"NOUN", "ADJ"} and token.tag != "NNS") or (
        token.index != sentence_first and token.tag == "NNS" and token.dep == "compound"
    )


def _continues(token: Token) -> bool:
    """Whether a word after a name word belongs to the name: a number as in Apollo 11."""
    return token.pos == "NUM" and token.text.isdigit() and len(token.text) < 4 and token.dep == "nummod"


def _heads_of_name(token: Token) -> bool:
    kinds = taxonomy().broader_than(token.text.lower())
    return bool(kinds & _OF_HEADS) and token.text.lower() not in TITLES


def _extended(parse: Parse, runs: list[tuple[int, int]], things: list[NamedSpan]) -> Iterable[NamedSpan]:
    """Recognised spans widened to the run of name words that they are a part of."""
    for first, last in runs:
        inside = [s for s in things if s.first < last and first < s.last]
        if len(inside) != 1 or inside[0].label in {"NORP", "PERSON", "WORK_OF_ART"}:
            continue
        span = inside[0]
        if first <= span.first and last > span.last and parse.tokens[last - 1].text.lower() not in TITLES:
            if span.last < last and parse.tokens[span.last].text.lower() in _CONNECTORS:
                continue
            trimmed = _trimmed(parse, NamedSpan(span.first, last, "" if span.label == "GPE" else span.label))
            if trimmed is not None:
                yield trimmed


def _unnamed(parse: Parse, runs: list[tuple[int, int]]) -> Iterable[NamedSpan]:
    """Runs of name words in which the recogniser saw nothing."""
    for first, last in runs:
        span = _trimmed(parse, NamedSpan(first, last, ""))
        if span is None or _is_common(parse, span):
            continue
        single = span.last - span.first == 1
        label = "NORP" if single and parse.tokens[span.first].text in nationalities() else ""
        yield NamedSpan(span.first, span.last, label)


def _is_common(parse: Parse, span: NamedSpan) -> bool:
    """Whether the only word is one that begins a sentence and exists as an ordinary word, or a bare title."""
    if span.last - span.first > 1:
        return all(parse.tokens[i].text.lower() in TITLES for i in range(span.first, span.last))
    token = parse.tokens[span.first]
    word = token.text.lower()
    if word in TITLES or len(word) < 2 or taxonomy().preferred.get(word) is not None:
        return True
    ordinary = is_known(word, "NOUN") or is_known(word, "VERB") or is_known(word, "ADJ") or is_known(word, "ADV")
    opens = token.index == parse.sentences[token.sentence].first and token.dep not in {"nsubj", "nsubjpass"}
    return ordinary and (opens or token.pos != "PROPN")


def _repeated(parse: Parse, found: list[NamedSpan], taken: bytearray) -> Iterable[NamedSpan]:
    """Further places where a found name, or the surname of a found person, stands by itself."""
    labels: dict[str, str] = {}
    for span in found:
        words = [parse.tokens[i].text for i in range(span.first, span.last)]
        text = parse.text[parse.tokens[span.first].start : parse.tokens[span.last - 1].end]
        if len(text) > 2 and span.label != "NORP" and "\n" not in text:
            labels.setdefault(text, span.label)
        if span.label == "PERSON" and len(words) > 1 and len(words[-1]) > 2 and words[-1][0].isupper():
            labels.setdefault(words[-1], "PERSON")
    names = sorted(labels)
    if not names:
        return
    ahocorasick = required("ahocorasick_rs")
    matcher = ahocorasick.AhoCorasick(names, matchkind=ahocorasick.MatchKind.LeftmostLongest)
    starts = {token.start: token.index for token in parse.tokens}
    ends = {token.end: token.index + 1 for token in parse.tokens}
    for which, start, end in matcher.find_matches_as_indexes(parse.text):
        first, last = starts.get(start), ends.get(end)
        if first is not None and last is not None and not any(taken[first:last]) and last > first:
            if parse.tokens[first].pos in {"PROPN", "NOUN", "ADJ"} or last - first > 1:
                taken[first:last] = b"\1" * (last - first)
                yield NamedSpan(first, last, labels[names[which]])
