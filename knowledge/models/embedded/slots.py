"""Frames, and how their slots are filled from a parse."""

from dataclasses import dataclass, field

from knowledge.models.embedded.parsing import Parse, Token

_NAMING = frozenset({"NOUN", "PROPN", "PRON", "NUM", "ADJ", "X"})


@dataclass(frozen=True, slots=True)
class Frame:
    """A word in its sentence; slots hold token indexes. `certainty` is between 0 and 1, by the kind of rule."""

    lemma: str
    modifiers: frozenset[str]
    slots: dict[str, tuple[int, ...]] = field(hash=False)
    sentence: int
    certainty: float
    is_noun: bool = False


def conjuncts(parse: Parse, index: int) -> list[int]:
    """The token and those coordinated with it."""
    found: list[int] = []
    todo = [index]
    while todo:
        current = todo.pop()
        found.append(current)
        others = parse.dependents(current, "conj")
        todo.extend(i for i in reversed(others) if parse.tokens[i].pos in _NAMING)
    return found


def put(parse: Parse, slots: dict[str, list[int]], slot: str, fillers: list[int]) -> None:
    """Adds tokens, and those coordinated with them, to a slot."""
    for filler in fillers:
        for index in conjuncts(parse, filler):
            if index not in slots.setdefault(slot, []):
                slots[slot].append(index)


def add_prepositions(parse: Parse, slots: dict[str, list[int]], index: int, *, depth: int) -> None:
    """Fills a slot for each preposition on the word, and on the prepositions' own ("from A in B")."""
    for child in parse.dependents(index, "prep", "agent"):
        slot = parse.tokens[child].lemma
        for filler in parse.dependents(child, "pobj", "pcomp"):
            if parse.tokens[filler].pos != "VERB":
                put(parse, slots, slot, [filler])
        if depth > 1:
            add_prepositions(parse, slots, child, depth=depth - 1)
        if parse.dependents(child, "conj"):
            for other in parse.dependents(child, "conj"):
                put(parse, slots, parse.tokens[other].lemma, parse.dependents(other, "pobj"))


def spread(parse: Parse, indexes: list[int]) -> tuple[int, ...]:
    """The tokens and those coordinated with them."""
    return tuple(i for index in indexes for i in conjuncts(parse, index))


def modifiers(parse: Parse, noun: int) -> frozenset[str]:
    """The lemmas that narrow a noun: adjectives, compounds, and a common noun after "of" ("place of birth")."""
    found = {
        parse.tokens[i].lemma
        for i in parse.dependents(noun, "amod", "compound", "nmod")
        if parse.tokens[i].pos != "PUNCT"
    }
    for child in parse.dependents(noun, "prep"):
        if parse.tokens[child].lemma == "of":
            found.update(
                parse.tokens[i].lemma for i in parse.dependents(child, "pobj") if parse.tokens[i].pos == "NOUN"
            )
    return frozenset(found)


def leftmost(parse: Parse, noun: Token) -> Token:
    """The first token of a noun's own phrase."""
    return parse.tokens[min([noun.index, *parse.dependents(noun.index, "compound", "amod", "det")])]
