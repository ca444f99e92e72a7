"""Whether entities of two documents are one thing. Rules decide, and say why; nothing is merged, only linked.

What rules leave open a chat model may decide, when there is one (`doubtful_links`).

A link can be undone without a trace in either document's graph, because it is all that a merge consists of.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from rapidfuzz import fuzz

from knowledge.domain import Entity
from knowledge.ids import EntityId, LinkId
from knowledge.stages.names import folded_name, initials_of, is_acronym, is_proper

ACCEPTED_FROM = 0.7
"""Links that score as much are taken for true; those from `PROPOSED_FROM` on wait for somebody to accept them."""
PROPOSED_FROM = 0.5
_INITIALS, _ACRONYMS = "initials ", "acronym "
_WORDS = "words "
# Of each word of a name, and of the only one.
_FIRST_LETTERS, _LETTERS_OF_ONE = 2, 5
_SAME_LABEL, _SAME_ALIAS, _ACRONYM, _ALIKE = 0.75, 0.65, 0.6, 0.6
_SEVERAL_WORDS, _SHARED_FACT, _MOST_SHARED = 0.1, 0.1, 0.2
_NAMESAKES, _CONTRADICTION = -0.3, -0.4
_LEAST_LIKENESS = 92.0
_LEAST_LIKE_CHARACTERS = 8


class LinkStatus(StrEnum):
    """What holds of a link; one that was undone stays so, however often the documents are read again.

    A `declined` one was proposed, and a model that was asked says that the two are different things.
    """

    ACCEPTED = "accepted"
    PROPOSED = "proposed"
    DECLINED = "declined"
    UNDONE = "undone"


@dataclass(frozen=True, slots=True)
class EntityLink:
    """That two entities are one thing (`owl:sameAs`): how sure that is (0 to 1), and what speaks for and against it."""

    id: LinkId
    entity_id: EntityId
    other_id: EntityId
    score: float
    reasons: tuple[str, ...]
    status: LinkStatus

    @classmethod
    def between(cls, one: EntityId, other: EntityId, score: float, reasons: tuple[str, ...]) -> "EntityLink":
        """The link, the same whichever of the two comes first."""
        first, second = sorted((one, other))
        status = LinkStatus.ACCEPTED if score >= ACCEPTED_FROM else LinkStatus.PROPOSED
        return cls(LinkId.derive(first, second), first, second, round(score, 4), reasons, status)


@dataclass(frozen=True, slots=True)
class Described:
    """An entity and what its document says of it.

    `facts` are (predicate, folded name or lexical form of the other end); `dates` those that lead to a date;
    `has_namesakes` whether its document has several things of that name.
    """

    entity: Entity
    facts: frozenset[tuple[str, str]] = frozenset()
    dates: frozenset[tuple[str, str]] = frozenset()
    has_namesakes: bool = False


@dataclass(frozen=True, slots=True)
class _Names:
    """What an entity is called: its label, that label folded, and with its words in order of the alphabet.

    `proper` are all proper names, folded; `initials` the acronyms that it may have.
    """

    label: str
    folded: str
    in_order: str
    proper: frozenset[str]
    initials: frozenset[str]

    @classmethod
    def of(cls, entity: Entity) -> "_Names":
        return _names(entity.label, entity.aliases)


# Names that many documents have in common come up again and again.
@lru_cache(maxsize=10_000)
def _names(label: str, aliases: tuple[str, ...]) -> _Names:
    folded = folded_name(label)
    proper = frozenset(folded_name(name) for name in (label, *aliases) if is_proper(name))
    return _Names(label, folded, " ".join(sorted(folded.split())), proper, initials_of(folded))


def keys_of(entity: Entity) -> frozenset[str]:
    """The keys under which an entity is found by those that seek it (see `sought_by`).

    For each proper name its words in order of the alphabet (`words`), their first letters in that order (`alike`, for
    other spellings), and its initials, or that it is an acronym.
    """
    keys: set[str] = set()
    for name in _proper_names(entity):
        folded = folded_name(name)
        words = sorted(folded.split())
        letters = _FIRST_LETTERS if len(words) > 1 else _LETTERS_OF_ONE
        keys |= {f"{_WORDS}{' '.join(words)}", f"alike {' '.join(word[:letters] for word in words)}"}
        keys |= {f"{_INITIALS}{initials}" for initials in initials_of(folded) if len(initials) > 1}
        if is_acronym(name):
            keys.add(f"{_ACRONYMS}{folded}")
    return frozenset(keys)


def sought_by(keys: Iterable[str]) -> frozenset[str]:
    """The keys of the candidates of an entity with these keys: who has none of them is not compared.

    Who has initials seeks acronyms, and the other way round: that many people share their initials says nothing.
    """
    return frozenset(_sought(key) for key in keys)


def is_whole_name(key: str) -> bool:
    """Whether who shares this key has the same name, but for the order of its words."""
    return key.startswith(_WORDS)


def _sought(key: str) -> str:
    for mine, theirs in ((_INITIALS, _ACRONYMS), (_ACRONYMS, _INITIALS)):
        if key.startswith(mine):
            return theirs + key.removeprefix(mine)
    return key


def may_be_one(one: Described, other: Described) -> bool:
    """Whether neither the classes of two entities nor what is said of them speaks against it."""
    if not _have_a_common_class(one.entity, other.entity):
        return False
    return all(weight > _CONTRADICTION for weight, _ in _circumstances(one, other))


def called_alike(pairs: Iterable[tuple[Entity, Entity]]) -> list[tuple[Entity, Entity]]:
    """Those pairs whose names and classes allow them to be one: who is not called alike need not be described.

    What a name shares keys with is many times what it is like.
    """
    names: dict[EntityId, _Names] = {}
    found: list[tuple[Entity, Entity]] = []
    for pair in pairs:
        one, other = pair
        if not _have_a_common_class(one, other):
            continue
        # Each end is in many pairs.
        mine = names.get(one.id) or names.setdefault(one.id, _Names.of(one))
        theirs = names.get(other.id) or names.setdefault(other.id, _Names.of(other))
        if _by_name(mine, theirs)[0]:
            found.append(pair)
    return found


def _have_a_common_class(one: Entity, other: Entity) -> bool:
    """What has no class at all may be of any."""
    mine, theirs = one.classes, other.classes
    return not mine or not theirs or mine == theirs or not frozenset(mine).isdisjoint(theirs)


def judge(one: Described, other: Described) -> EntityLink | None:
    """The link between two entities of different documents, if they may be one thing."""
    if not _have_a_common_class(one.entity, other.entity):
        return None
    score, reason = _by_name(_Names.of(one.entity), _Names.of(other.entity))
    if not score:
        return None
    reasons = [reason]
    for weight, why in _circumstances(one, other):
        score += weight
        reasons.append(why)
    score = min(0.99, score)
    return EntityLink.between(one.entity.id, other.entity.id, score, tuple(reasons)) if score >= PROPOSED_FROM else None


def _by_name(one: _Names, other: _Names) -> tuple[float, str]:
    mine, theirs = one.folded, other.folded
    if mine == theirs:
        several = _SEVERAL_WORDS if " " in mine else 0.0
        return _SAME_LABEL + several, f"both are called {one.label}"
    if not one.proper.isdisjoint(other.proper):
        shared = min(one.proper & other.proper, key=lambda name: (-len(name), name))
        several = _SEVERAL_WORDS if " " in shared else 0.0
        return _SAME_ALIAS + several, f"both are also called {shared}"
    if mine in other.initials and is_acronym(one.label):
        return _ACRONYM, f"{one.label} are the initials of {other.label}"
    if theirs in one.initials and is_acronym(other.label):
        return _ACRONYM, f"{other.label} are the initials of {one.label}"
    if len(mine) < _LEAST_LIKE_CHARACTERS or len(theirs) < _LEAST_LIKE_CHARACTERS:
        return 0.0, ""
    likeness = fuzz.ratio(one.in_order, other.in_order, score_cutoff=_LEAST_LIKENESS)
    if likeness:
        return _ALIKE, f"{one.label} and {other.label} are alike ({likeness:.0f} %)"
    return 0.0, ""


def _circumstances(one: Described, other: Described) -> Iterable[tuple[float, str]]:
    shared = sorted(one.facts & other.facts)
    if shared:
        yield min(_MOST_SHARED, _SHARED_FACT * len(shared)), f"of both it is said: {', '.join(map(' '.join, shared))}"
    if (one.has_namesakes or other.has_namesakes) and not shared:
        yield _NAMESAKES, "a document has several things of that name"
    theirs = dict(sorted(other.dates))
    for predicate, value in sorted(one.dates):
        if predicate in theirs and not _agree(value, theirs[predicate]):
            yield _CONTRADICTION, f"their dates differ: {predicate} {value} and {theirs[predicate]}"


def _agree(one: str, other: str) -> bool:
    """Whether two dates can be one, said with different precision."""
    return one.startswith(other) or other.startswith(one)


def _proper_names(entity: Entity) -> list[str]:
    return [name for name in (entity.label, *entity.aliases) if is_proper(name)]
