"""What a passage says about the things it names: the nouns that each one is called."""

from dataclasses import dataclass

from knowledge.models.embedded.lexicon import LABEL_KINDS, countries, given_names, nationalities, taxonomy, word_set
from knowledge.models.embedded.parsing import NamedSpan, Parse, Token
from knowledge.models.embedded.slots import conjuncts

# Nouns of which "the city of X" is X.
_OWNED_NAMES = frozenset({"city", "town", "village", "state", "province", "island", "county"})


@dataclass(frozen=True, slots=True)
class Profile:
    """`nouns` describe a thing, in lower case; `told` are those that the text itself says, in order.

    `in_full` is false where a single word and the recogniser's label are all there is to go by.
    """

    told: tuple[str, ...]
    nouns: frozenset[str]
    pronoun: str = ""
    in_full: bool = True

    def is_a(self, noun: str) -> float:
        """How well the thing can be a `noun` (see Taxonomy.relation)."""
        return taxonomy().relation(self.nouns, noun)


def profile_of(parse: Parse, spans: tuple[NamedSpan, ...]) -> Profile:
    """The profile of a thing from its mentions; what the text calls it counts before the recogniser's label."""
    told: dict[str, None] = {}
    names: dict[str, None] = {}
    for span in spans:
        head = parse.head_of(span.first, span.last)
        told.update(dict.fromkeys(_descriptions(parse, head, span)))
        names.update(dict.fromkeys(_from_name(parse, span)))
    if any(_text(parse, span) in nationalities() for span in spans):
        return Profile(("country",), frozenset({"country"}), "it")
    full = [s for s in spans if s.label == "PERSON" and s.last - s.first > 1]
    labels = [LABEL_KINDS[s.label] for s in full or spans if s.label in LABEL_KINDS]
    if labels:
        common = max(labels, key=lambda kind: (labels.count(kind), -labels.index(kind)))
        known = [noun for noun in (*told, *names) if taxonomy().find(noun)]
        clashes = known and not any(_agree(noun, common) for noun in known)
        labels = [] if clashes else [common]
    if told and names:
        names = {n: None for n in names if any(_agree(n, t) or not taxonomy().find(t) for t in told)}
    nouns = frozenset([*told, *names, *labels])
    pronoun = _pronoun(parse, spans, nouns)
    return Profile((*told, *names), nouns, pronoun, in_full=bool(full or told or pronoun in {"he", "she"}))


def _text(parse: Parse, span: NamedSpan) -> str:
    return " ".join(parse.tokens[i].text for i in range(span.first, span.last))


def _agree(noun: str, other: str) -> bool:
    known = taxonomy()
    return known.relation(frozenset({noun}), other) > 0 or known.relation(frozenset({other}), noun) > 0


def _descriptions(parse: Parse, head: int, span: NamedSpan) -> list[str]:
    """The nouns in apposition to a name, before it, or that a clause of being calls it."""
    token = parse.tokens[head]
    found = [n for c in parse.dependents(head, "appos") for n in _called(parse, c)]
    if token.dep == "appos" and parse.tokens[token.head].pos == "NOUN":
        found.extend(_called(parse, token.head))
    for child in parse.dependents(head, "compound", "nmod"):
        word = parse.tokens[child]
        if word.pos == "NOUN" and child < span.first and word.text.islower():
            found.extend(_called(parse, child))
    if span.first > 0 and is_label(parse, span.first - 1):
        found.extend(_called(parse, span.first - 1))
    verb = parse.tokens[token.head]
    if token.dep == "nsubj" and verb.lemma in {"be", "become"} and not parse.dependents(verb.index, "neg"):
        attributes = [i for i in parse.dependents(verb.index, "attr") if parse.tokens[i].pos == "NOUN"]
        found.extend(noun for i in attributes if not _is_question(parse, verb) for noun in _called(parse, i))
    if token.dep == "pobj" and parse.tokens[token.head].lemma == "of":
        owner = parse.tokens[parse.tokens[token.head].head]
        if owner.dep not in {"attr", "appos", "conj"} and owner.lemma in _OWNED_NAMES:
            found.append(owner.lemma)
    return found


def is_label(parse: Parse, index: int) -> bool:
    """Whether a token is a noun that says what the name right after it is: "the novel Emma"."""
    token = parse.tokens[index]
    if token.tag != "NN" or not token.text.islower() or taxonomy().find(token.lemma) is None:
        return False
    return any(parse.tokens[i].dep in {"det", "poss"} for i in parse.children[index])


def _is_question(parse: Parse, verb: Token) -> bool:
    sentence = parse.sentences[verb.sentence]
    return parse.text[sentence.span.end - 1] == "?"


def _called(parse: Parse, index: int) -> list[str]:
    """The noun phrases (modifiers and head, in lemmas) at a token and those coordinated with it."""
    return [phrase for i in conjuncts(parse, index) for phrase in _phrase(parse, i)]


def _phrase(parse: Parse, index: int) -> list[str]:
    token = parse.tokens[index]
    if token.pos != "NOUN":
        return []
    before = [parse.tokens[i] for i in parse.dependents(index, "compound", "amod", "nmod")]
    if {t.lemma for t in before} & word_set("denying_modifiers"):
        return []
    words = [t.lemma for t in before if t.pos in {"NOUN", "ADJ"} and t.text.islower()]
    return [" ".join([*words, token.lemma])]


def _from_name(parse: Parse, span: NamedSpan) -> list[str]:
    """The nouns within a name that say what it names: "University of X", "Nobel Prize", "Lake X"."""
    words = [parse.tokens[i].text.lower() for i in range(span.first, span.last)]
    text = " ".join(words)
    if text in countries() or (words[0] == "the" and " ".join(words[1:]) in countries()):
        return ["country"]
    if span.label == "PERSON" or len(words) < 2:
        return []
    if words[-1] in word_set("organization_suffixes"):
        return ["company"]
    joint = next((i for i, word in enumerate(words) if i > 0 and word in {"of", "in", "for", "at"}), len(words))
    if words[0] in word_set("leading_name_heads") and joint == len(words):
        return [words[0]]
    noun = " ".join(words[max(0, joint - 2) : joint])
    return [noun] if (taxonomy().find(noun) and span.label != "WORK_OF_ART") or _is_award(noun) else []


def _is_award(noun: str) -> bool:
    return "award" in taxonomy().broader_than(noun)


def _pronoun(parse: Parse, spans: tuple[NamedSpan, ...], nouns: frozenset[str]) -> str:
    """`he` or `she` when a title, a given name or a noun tells, `it` for what is no person, else empty."""
    if nouns & {"actress", "woman", "queen", "empress", "wife", "mother", "daughter", "sister", "princess", "nun"}:
        return "she"
    for span in spans:
        before = {parse.tokens[i].text.rstrip(".").lower() for i in range(max(0, span.first - 1), span.last)}
        if before & (word_set("his_titles") | word_set("her_titles")):
            return "he" if before & word_set("his_titles") else "she"
        found = given_names().get(parse.tokens[span.first].text)
        if found is not None:
            return found
    fits = taxonomy().relation(nouns, "person")
    return "" if fits > 0 else "it"
