"""Frames: what a sentence says, as a word (verb or relational noun) and the tokens that fill its slots.

Slots are `subj`, `obj` (of the active verb, whatever the voice), `obj2`, prepositions, and `date` and `number`
for values that stand with the word. Of a noun, `subj` is what is called it and `of` whose it is.
"""

from collections.abc import Iterator

from knowledge.models.embedded.lexicon import DOUBTING_WORDS, nationalities, word_set
from knowledge.models.embedded.parsing import Parse, Token
from knowledge.models.embedded.slots import Frame, add_prepositions, conjuncts, leftmost, modifiers, put, spread

_CLAUSE_SUBJECTS = ("nsubj", "nsubjpass")
# How many clauses up a coordinated one may look for what it leaves out.
_CLAUSES = 8
# "Town, County, State, Country"
_LONGEST_ADDRESS = 4
_LINKING = frozenset({"be", "become", "remain"})
_HAVING = frozenset({"have", "possess", "boast"})
_CALLING = frozenset({"appoint", "elect", "name", "serve", "act", "know", "crown", "work", "choose", "regard"})
_REALISING = frozenset({"help", "go", "continue", "manage", "begin", "start", "proceed"})
_NOT_IN_FRAMES = frozenset({"if", "whether", "unless"})


def find_frames(parse: Parse) -> Iterator[Frame]:
    """The frames of a passage, in order; questions, conditions, denials and doubts give none."""
    for sentence in parse.sentences:
        if parse.text[sentence.span.end - 1] == "?":
            continue
        for index in range(sentence.first, sentence.last):
            token = parse.tokens[index]
            if token.pos in {"VERB", "AUX"} and not _is_doubtful(parse, index):
                yield from _of_verb(parse, token)
            elif token.pos in {"NOUN", "PROPN"}:
                yield from _of_noun(parse, token)


def _is_doubtful(parse: Parse, index: int, depth: int = _CLAUSES) -> bool:
    for child in parse.children[index]:
        token = parse.tokens[child]
        if token.dep == "neg" or (token.dep == "aux" and token.lemma in DOUBTING_WORDS):
            return True
        if token.dep in {"mark", "advmod"} and token.lemma in _NOT_IN_FRAMES | {"never", "allegedly", "reportedly"}:
            return True
    token = parse.tokens[index]
    if token.dep not in {"ROOT", "conj"} and _is_infinitive(parse, token):
        return (
            depth == 0 or parse.tokens[token.head].lemma not in _REALISING or _is_doubtful(parse, token.head, depth - 1)
        )
    if depth == 0 or token.dep not in {"conj", "xcomp"} or token.head == index:
        return False
    return _is_doubtful(parse, token.head, depth - 1)


def _is_infinitive(parse: Parse, verb: Token) -> bool:
    """ "to found": what was wanted, agreed or planned need not have happened."""
    return any(parse.tokens[i].tag == "TO" for i in parse.dependents(verb.index, "aux"))


def _of_verb(parse: Parse, verb: Token) -> Iterator[Frame]:
    passive = _is_passive(parse, verb)
    slots: dict[str, list[int]] = {}
    subjects = _subjects(parse, verb)
    put(parse, slots, "obj" if passive else "subj", subjects)
    datives = parse.dependents(verb.index, "dative")
    for child in parse.dependents(verb.index, "dobj"):
        put(parse, slots, "obj2" if datives or passive else "obj", [child])
    for child in datives:
        if parse.tokens[child].pos == "ADP":
            put(parse, slots, "to", parse.dependents(child, "pobj"))
        else:
            put(parse, slots, "obj", [child])
    for child in parse.dependents(verb.index, "agent"):
        put(parse, slots, "subj", parse.dependents(child, "pobj"))
    add_prepositions(parse, slots, verb.index, depth=2)
    _times(parse, slots, verb.index)
    slots.setdefault("number", []).extend(slots.get("obj", []))
    certainty = 0.9 if verb.dep == "ROOT" else 0.85
    frozen = {slot: tuple(fillers) for slot, fillers in slots.items()}
    yield Frame(verb.lemma, frozenset(), frozen, verb.sentence, certainty)
    for child in parse.dependents(verb.index, "dobj"):
        noun = parse.tokens[child]
        if noun.pos == "NOUN":
            yield Frame(
                f"{verb.lemma}_{noun.lemma}", frozenset(), _merged(parse, frozen, child), verb.sentence, certainty
            )
    yield from _linked(parse, verb, subjects, frozen)


def _is_passive(parse: Parse, verb: Token, depth: int = _CLAUSES) -> bool:
    if parse.dependents(verb.index, "nsubjpass", "auxpass", "agent"):
        return True
    if verb.tag == "VBN" and verb.dep in {"acl", "advcl", "relcl"}:
        return not parse.dependents(verb.index, "aux", "dobj")
    if verb.dep == "conj" and verb.tag == "VBN" and not parse.dependents(verb.index, *_CLAUSE_SUBJECTS, "aux"):
        head = parse.tokens[verb.head]
        return head.pos in {"VERB", "AUX"} and head.tag == "VBN" and depth > 0 and _is_passive(parse, head, depth - 1)
    return False


def _subjects(parse: Parse, verb: Token, depth: int = _CLAUSES) -> list[int]:
    """The subjects of a verb, borrowed from the clause it depends on when it has none of its own."""
    own = parse.dependents(verb.index, *_CLAUSE_SUBJECTS)
    head = parse.tokens[verb.head]
    if own:
        relative = parse.tokens[own[0]].tag in {"WDT", "WP"}
        return [verb.head] if relative and verb.dep == "relcl" else own
    if verb.dep in {"acl", "relcl"} and head.pos in {"NOUN", "PROPN", "PRON"}:
        return _described(parse, verb, head) if verb.dep == "acl" and verb.tag in {"VBN", "VBG"} else []
    if verb.dep in {"conj", "advcl", "xcomp"} and head.pos in {"VERB", "AUX"} and head.index != verb.index:
        if verb.dep == "advcl" and parse.dependents(verb.index, "mark"):
            return []
        return _subjects(parse, head, depth - 1) if depth > 0 else []
    return []


def _described(parse: Parse, verb: Token, noun: Token) -> list[int]:
    """What a participle may describe: its noun, and after a comma also what that noun is said of."""
    found = [noun.index]
    after_comma = verb.index > 0 and parse.tokens[verb.index - 1].text == ","
    if after_comma and noun.dep == "pobj":
        above = parse.tokens[parse.tokens[noun.head].head]
        if above.pos in {"NOUN", "PROPN"}:
            found.append(above.index)
    return found


def _times(parse: Parse, slots: dict[str, list[int]], index: int) -> None:
    """Fills `date` with the tokens on which a date may stand; whether it is one is for the reader of the frame."""
    for child in parse.dependents(index, "npadvmod", "nmod"):
        put(parse, slots, "date", [child])
    for preposition in ("in", "on", "at", "since"):
        for filler in slots.get(preposition, []):
            slots.setdefault("date", []).append(filler)


def _merged(parse: Parse, slots: dict[str, tuple[int, ...]], noun: int) -> dict[str, tuple[int, ...]]:
    """A verb's slots together with the prepositions on its object: "earned a degree from X"."""
    found = {slot: list(fillers) for slot, fillers in slots.items()}
    add_prepositions(parse, found, noun, depth=1)
    return {slot: tuple(fillers) for slot, fillers in found.items()}


def _linked(parse: Parse, verb: Token, subjects: list[int], slots: dict[str, tuple[int, ...]]) -> Iterator[Frame]:
    """Frames of the nouns that a clause calls its subject ("is the capital of"), or says that it has."""
    if verb.lemma in _LINKING:
        names = [i for c in parse.dependents(verb.index, "attr", "oprd") for i in conjuncts(parse, c)]
        for name in names:
            yield from _noun_frames(parse, name, spread(parse, subjects), 0.9)
        for subject in subjects:
            yield from _noun_frames(parse, subject, tuple(names), 0.85)
            if not names and parse.tokens[subject].pos == "NOUN":
                yield from _placed(parse, subject, slots)
        for child in parse.dependents(verb.index, "acomp", "advmod"):
            yield _adjective(parse, verb, child, spread(parse, subjects))
        if any(parse.tokens[i].lemma == "level" for i in slots.get("above", ())):
            measure = tuple(parse.dependents(verb.index, "npadvmod", "nummod", "attr"))
            found = {"subj": spread(parse, subjects), "number": measure}
            yield Frame("@above_sea_level", frozenset(), found, verb.sentence, 0.85)
    if verb.lemma in _CALLING:
        for child in [*parse.dependents(verb.index, "oprd"), *slots.get("as", ())]:
            called = slots.get("obj") or slots.get("subj") or ()
            yield from _noun_frames(parse, child, called, 0.85)
    if verb.lemma in _HAVING:
        for noun in slots.get("obj", ()):
            yield from _had(parse, noun, spread(parse, subjects), verb.sentence)


def _placed(parse: Parse, noun: int, slots: dict[str, tuple[int, ...]]) -> Iterator[Frame]:
    """ "Its headquarters are in X": the noun with its owner and the clause's prepositions."""
    found = {slot: list(fillers) for slot, fillers in slots.items() if slot not in {"subj", "number"}}
    add_prepositions(parse, found, noun, depth=1)
    for owner in parse.dependents(noun, "poss"):
        put(parse, found, "of", [owner])
    token = parse.tokens[noun]
    frozen = {slot: tuple(fillers) for slot, fillers in found.items()}
    yield Frame(token.lemma, modifiers(parse, noun), frozen, token.sentence, 0.85)


def _adjective(parse: Parse, verb: Token, index: int, subjects: tuple[int, ...]) -> Frame:
    """ "X is 324 metres tall": the adjective with its measure as `number`."""
    slots: dict[str, list[int]] = {"subj": list(subjects)}
    put(parse, slots, "number", parse.dependents(index, "npadvmod", "nummod"))
    add_prepositions(parse, slots, index, depth=1)
    return Frame(parse.tokens[index].lemma, frozenset(), {s: tuple(f) for s, f in slots.items()}, verb.sentence, 0.85)


def _had(parse: Parse, noun: int, owners: tuple[int, ...], sentence: int) -> Iterator[Frame]:
    """ "X has a population of 5": whose it is comes from the clause, what it is from the noun's own "of"."""
    slots: dict[str, list[int]] = {}
    add_prepositions(parse, slots, noun, depth=1)
    values = slots.get("of") or ([noun] if parse.dependents(noun, "nummod") else [])
    found = {"of": owners, "subj": tuple(values)}
    yield Frame(parse.tokens[noun].lemma, modifiers(parse, noun), found, sentence, 0.85)


def _of_noun(parse: Parse, noun: Token) -> Iterator[Frame]:
    """Frames of a noun in apposition, and of one that stands with an owner and a value."""
    yield from _qualified(parse, noun)
    if noun.dep == "appos" and noun.head != noun.index:
        if noun.pos == "NOUN":
            for name in conjuncts(parse, noun.index):
                yield from _noun_frames(parse, name, (noun.head,), 0.85)
        head = parse.tokens[noun.head]
        if head.pos == "NOUN":
            yield from _noun_frames(parse, head.index, tuple(conjuncts(parse, noun.index)), 0.85)
    if noun.pos == "PROPN":
        for child in parse.dependents(noun.index, "compound", "nmod"):
            if parse.tokens[child].pos == "NOUN" and parse.dependents(noun.index, "poss"):
                yield from _possessed(parse, noun, child)
    if noun.dep == "pobj" and parse.tokens[noun.head].lemma == "with":
        yield from _accompanying(parse, noun)


def _qualified(parse: Parse, noun: Token) -> Iterator[Frame]:
    """ "a Polish physicist", "a 2010 film", "Redmond, Washington"."""
    for child in parse.dependents(noun.index, "amod", "compound", "nummod"):
        token = parse.tokens[child]
        if token.text in nationalities():
            yield Frame("@nationality", frozenset(), {"subj": (noun.index,), "of": (child,)}, noun.sentence, 0.8)
        elif token.dep == "nummod" and noun.tag == "NN":
            yield Frame("@year", frozenset(), {"subj": (noun.index,), "date": (child,)}, noun.sentence, 0.8)
    if noun.dep == "appos" and noun.pos == "PROPN" and parse.tokens[noun.head].pos == "PROPN":
        between = parse.text[parse.tokens[noun.head].end : leftmost(parse, noun).start]
        if between.strip() == "," and not _is_listed(parse, noun):
            yield Frame("@in", frozenset(), {"subj": (noun.head,), "in": (noun.index,)}, noun.sentence, 0.75)


def _is_listed(parse: Parse, noun: Token) -> bool:
    """Whether an apposition is one of a list: "Paris, Rome and Bonn" are not within each other."""
    head = parse.tokens[noun.head]
    around = (noun, head, *(parse.tokens[i] for i in parse.dependents(noun.index, "appos")))
    if any(t.dep == "conj" or parse.dependents(t.index, "conj") for t in around):
        return True
    above = [head]
    while above[-1].dep == "appos" and len(above) < _LONGEST_ADDRESS:
        above.append(parse.tokens[above[-1].head])
    return len(above) >= _LONGEST_ADDRESS or len(parse.dependents(head.index, "appos")) >= _LONGEST_ADDRESS


def _possessed(parse: Parse, name: Token, noun: int) -> Iterator[Frame]:
    """ "Toyota's president Akio Toyoda"."""
    owners = tuple(i for o in parse.dependents(name.index, "poss") for i in conjuncts(parse, o))
    found = {"of": owners, "subj": tuple(conjuncts(parse, name.index))}
    yield Frame(parse.tokens[noun].lemma, frozenset(), found, name.sentence, 0.8)


def _accompanying(parse: Parse, noun: Token) -> Iterator[Frame]:
    """ "X, with a population of 5,": the noun belongs to what "with" stands on, or to that clause's subject."""
    holder = parse.tokens[parse.tokens[noun.head].head]
    owners = [holder.index] if holder.pos in {"NOUN", "PROPN"} else _subjects(parse, holder)
    for index in conjuncts(parse, noun.index):
        if owners:
            yield from _had(parse, index, spread(parse, owners), noun.sentence)


def _noun_frames(parse: Parse, noun: int, called: tuple[int, ...], certainty: float) -> Iterator[Frame]:
    """The frame of a noun that something is called, unless its modifiers deny it."""
    token = parse.tokens[noun]
    found = modifiers(parse, noun)
    if token.pos not in {"NOUN", "PROPN"} or found & word_set("denying_modifiers") or not called:
        return
    slots: dict[str, list[int]] = {"subj": list(called)}
    add_prepositions(parse, slots, noun, depth=2)
    if "of" not in slots:
        for other in parse.dependents(noun, "conj"):
            add_prepositions(parse, slots, other, depth=1)
    for owner in parse.dependents(noun, "poss"):
        put(parse, slots, "of", [owner])
    yield Frame(token.lemma, found, {s: tuple(f) for s, f in slots.items()}, token.sentence, certainty, is_noun=True)
