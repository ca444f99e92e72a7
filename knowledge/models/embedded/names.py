"""Finds the names in a parsed passage: the recogniser's spans, mended, and those that it misses."""

from collections.abc import Iterable, Sequence

from knowledge.models.embedded.lexicon import VALUE_LABELS, given_names, nationalities, taxonomy, word_set
from knowledge.models.embedded.loading import required
from knowledge.models.embedded.parsing import NamedSpan, Parse, Token, is_known
from knowledge.models.embedded.titles import FIXED_VALUES, find_acronyms, find_titles

_CONNECTORS = frozenset(
    ["des", "et", "of", "de", "van", "von", "der", "den", "la", "le", "du", "da", "di", "del", "al", "&", "the"]
)
_JOINTS = _CONNECTORS | {"for", "in"}
_PARTICLES = frozenset(["van", "von", "der", "den", "de", "la", "le", "du", "da", "di", "del"])
_TRAILING = _CONNECTORS | {"for", "in", "and", "by", "at", "on", ","}
_NAMELESS = ("calendar", "sentence_openers", "honours", "titles")
_LONGEST_GLOSS = 200
_OF_HEADS = frozenset({"organization", "event", "award", "territory", "facility", "law", "landform", "body of water"})


def find_names(parse: Parse) -> tuple[NamedSpan, ...]:
    """Tokens that name things, in order and without overlap; the label is empty where only the case shows a name.

    Nationalities (NORP) are among them; pronouns, dates, quantities and money are not.
    """
    found: list[NamedSpan] = []
    taken = bytearray(len(parse.tokens))
    things = [span for span in (_trimmed(parse, s) for s in parse.named if s.label not in VALUE_LABELS) if span]
    things = [_relabelled(parse, span) for span in things]
    runs = list(_runs(parse))
    candidates = [
        *find_titles(parse),
        *find_acronyms(parse),
        *_extended(parse, runs, things),
        *things,
        *_unnamed(parse, runs),
    ]
    for span in candidates:
        if not any(taken[span.first : span.last]) and not _is_gloss(parse, span):
            taken[span.first : span.last] = b"\1" * (span.last - span.first)
            found.append(span)
    found.extend(_repeated(parse, found, taken))
    return tuple(sorted(found, key=lambda span: span.first))


def _is_gloss(parse: Parse, span: NamedSpan) -> bool:
    """Whether a word only says which language follows: "(Japanese: …, Hepburn: …)"."""
    tokens, text = parse.tokens, parse.text
    opened = text.rfind("(", max(0, tokens[span.first].start - _LONGEST_GLOSS), tokens[span.first].start)
    between = text[opened : tokens[span.first].start]
    stands_alone = between.rstrip()[-1:] in {"(", ",", ";"}
    is_open = opened >= 0 and ")" not in between
    return is_open and stands_alone and span.last < len(tokens) and tokens[span.last].text == ":"


def _trimmed(parse: Parse, span: NamedSpan) -> NamedSpan | None:
    """The span without determiners, titles, possessive endings and punctuation at its ends."""
    tokens = parse.tokens
    first, last = _with_style(parse, span), span.last
    while first < last and _is_lead(tokens[first], span.label, is_last=last - first == 1):
        first += 1
    last = next((i for i in range(first, last) if tokens[i].text in {"(", "[", "]"}), last)
    while last > first and _is_tail(tokens[last - 1]):
        last -= 1
    body = tokens[first:last]
    if not any(t.text[0].isupper() or t.text[0].isdigit() for t in body):
        return None
    if len(body) == 1 and _is_no_name(body[0]):
        return None
    return NamedSpan(first, last, span.label)


def _with_style(parse: Parse, span: NamedSpan) -> int:
    """Where a name begins when "Prince" or the like stands before it."""
    before = parse.tokens[span.first - 1].text if span.first > 0 else ""
    styled = span.label == "PERSON" and before[:1].isupper() and before.lower() in word_set("styles")
    return span.first - 1 if styled else span.first


def _is_tail(token: Token) -> bool:
    if token.tag in {"POS", "_SP"} or token.text.lower() in _TRAILING:
        return True
    return not token.text[-1].isalnum() and (token.text[-1] != "." or len(token.text) == 1)


def _is_no_name(token: Token) -> bool:
    """Whether a word names nothing by itself: a pronoun, a month, a title, an ordinary word in capitals."""
    word = token.text.lower()
    if token.pos == "PRON" or any(word in word_set(name) for name in _NAMELESS):
        return True
    return len(word) > 1 and token.text.isupper() and (is_known(word, "NOUN") or is_known(word, "VERB"))


def _relabelled(parse: Parse, span: NamedSpan) -> NamedSpan:
    """The span with the recogniser's label mended: names that begin as people's do are people's.

    People have no article: "the Danube" is no person, whatever the recogniser says.
    """
    span = _with_given_name(parse, span)
    if _is_persons_name(parse, span):
        return NamedSpan(span.first, span.last, "PERSON")
    before = parse.tokens[span.first - 1] if span.first > 0 else None
    if (
        span.label == "PERSON"
        and before is not None
        and before.lemma == "the"
        and span.first <= before.head < span.last
    ):
        return NamedSpan(span.first, span.last, "")
    return span


def _with_given_name(parse: Parse, span: NamedSpan) -> NamedSpan:
    """The span with the given name right before it, which the recogniser left out."""
    first = span.first
    while first > 0 and parse.tokens[first - 1].text in given_names() and parse.tokens[first - 1].dep == "compound":
        first -= 1
    return NamedSpan(first, span.last, span.label)


def _is_persons_name(parse: Parse, span: NamedSpan) -> bool:
    """Whether a name of two to four words begins with a given name or a style and ends like no thing's name."""
    words = [parse.tokens[i].text for i in range(span.first, span.last)]
    if not 2 <= len(words) <= 4 or not all(w[0].isupper() or w in _PARTICLES for w in words):
        return False
    if words[0] not in given_names() and words[0].lower() not in word_set("styles"):
        return False
    last = words[-1].lower()
    return taxonomy().find(last) is None and last not in word_set("organization_suffixes") and words[-1].isalpha()


def _is_lead(token: Token, label: str, *, is_last: bool) -> bool:
    if token.tag in {"DT", "PRP$", "_SP", "POS"} or not (token.text[0].isalnum() or token.text[0] in "$#@"):
        return token.text != "The" or label not in {"WORK_OF_ART"}
    return (
        label == "PERSON" and not is_last and token.text.rstrip(".").lower() in word_set("titles") - word_set("styles")
    )


def _runs(parse: Parse) -> Iterable[tuple[int, int]]:
    """Maximal runs `[first, last)` of capitalised words within a sentence, joined by words such as "of"."""
    values = {i for s in parse.named if s.label in FIXED_VALUES for i in range(s.first, s.last)}
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
    while after < limit and tokens[after].text.lower() in _JOINTS and after - last < 2:
        after += 1
    if after == last or after >= limit or after in values or not _is_name_word(tokens[after], -1):
        return last
    return after + 1 if tokens[last].text not in {"of", "for", "in"} or _heads_of_name(tokens, last) else last


def _is_name_word(token: Token, sentence_first: int) -> bool:
    """Whether a word is written and used as (part of) a name; the first of a sentence must be a proper noun."""
    if not token.text[0].isupper() or token.text.lower() in word_set("calendar"):
        return False
    if token.pos == "PROPN":
        return True
    return (token.index != sentence_first and token.pos in {"NOUN", "ADJ"} and token.tag != "NNS") or (
        token.index != sentence_first and token.tag == "NNS" and token.dep == "compound"
    )


def _continues(token: Token) -> bool:
    """Whether a word after a name word belongs to the name: a number as in Apollo 11."""
    return token.pos == "NUM" and token.text.isdigit() and len(token.text) < 4 and token.dep == "nummod"


def _heads_of_name(tokens: Sequence[Token], joint: int) -> bool:
    """Whether the word before the joint heads a longer name: "University of", "Award for", "Prize in"."""
    word = tokens[joint - 1].text.lower()
    kinds = taxonomy().broader_than(word)
    if tokens[joint].text == "of":
        return bool(kinds & _OF_HEADS) and word not in word_set("titles")
    return "award" in kinds


def _extended(parse: Parse, runs: list[tuple[int, int]], things: list[NamedSpan]) -> Iterable[NamedSpan]:
    """Recognised spans widened to the run of name words that they are a part of."""
    for first, last in runs:
        inside = [s for s in things if s.first < last and first < s.last]
        if len(inside) != 1 or inside[0].label in {"NORP", "PERSON"}:
            continue
        span = inside[0]
        if first <= span.first and last > span.last and parse.tokens[last - 1].text.lower() not in word_set("titles"):
            if parse.tokens[span.last].text.lower() in _CONNECTORS:
                continue
            trimmed = _trimmed(parse, NamedSpan(span.first, last, "" if span.label == "GPE" else span.label))
            if trimmed is not None:
                yield trimmed


def _unnamed(parse: Parse, runs: list[tuple[int, int]]) -> Iterable[NamedSpan]:
    """Runs of name words in which the recogniser saw nothing."""
    for first, last in runs:
        trimmed = _trimmed(parse, NamedSpan(first, last, ""))
        span = None if trimmed is None else _relabelled(parse, trimmed)
        if span is None or _is_common(parse, span):
            continue
        single = span.last - span.first == 1
        label = "NORP" if single and parse.tokens[span.first].text in nationalities() else span.label
        yield NamedSpan(span.first, span.last, label)


def _is_common(parse: Parse, span: NamedSpan) -> bool:
    """Whether the only word is one that begins a sentence and exists as an ordinary word, or a bare title."""
    if span.last - span.first > 1:
        return all(parse.tokens[i].text.lower() in word_set("titles") for i in range(span.first, span.last))
    token = parse.tokens[span.first]
    word = token.text.lower()
    if word in word_set("titles") or len(word) < 2 or taxonomy().preferred.get(word) is not None:
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
    matches: list[tuple[int, int, int]] = matcher.find_matches_as_indexes(parse.text)
    for which, start, end in matches:
        first, last = starts.get(start), ends.get(end)
        if first is None or last is None or last <= first or any(taken[first:last]):
            continue
        if parse.tokens[first].pos in {"PROPN", "NOUN", "ADJ"} or last - first > 1 or names[which].isupper():
            taken[first:last] = b"\1" * (last - first)
            yield NamedSpan(first, last, labels[names[which]])
