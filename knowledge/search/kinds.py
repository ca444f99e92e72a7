"""The kinds of what search can find, and of what it is found by."""

from enum import StrEnum


class EntryKind(StrEnum):
    """What an entry is of."""

    ENTITY = "entity"
    PASSAGE = "passage"
    PREDICATE = "predicate"


class TermKind(StrEnum):
    """Whether a term is a word of a passage (a lexeme), or an entity's whole name (folded)."""

    WORD = "word"
    NAME = "name"
