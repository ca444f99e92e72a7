"""Cues: which words of a text state which property of an ontology, from its labels and the relation lexicon."""

import tomllib
from dataclasses import dataclass, replace
from functools import cache

from knowledge.models.embedded.lexicon import lexicon_text, taxonomy, word_set
from knowledge.models.embedded.vocabulary import base_verb, key_of, labels_of, singular, words_of
from knowledge.ontology import Ontology, OntologyProperty, PropertyKind

_LEADING = frozenset(["has", "is", "was", "are", "be", "have", "been", "the", "a", "an", "does"])
_UNIT_TAILS = frozenset(["in", "km", "m", "metres", "meters", "feet", "kg", "name", "total"])
_DATE_HEADS = frozenset({"date", "year", "day", "time"})
_NOMINALS = {
    "birth": "bear", "death": "die", "foundation": "found", "founding": "found", "publication": "publish",
    "construction": "build", "formation": "form", "completion": "complete", "retirement": "retire",
    "opening": "open", "marriage": "marry", "burial": "bury", "establishment": "establish", "arrival": "arrive",
    "discovery": "discover", "invention": "invent", "production": "produce", "creation": "create",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Slot:
    """A slot of a frame; a filler must be compatible with `noun` when one is given."""

    name: str
    noun: str = ""


@dataclass(frozen=True, slots=True)
class Cue:
    """A word that states a property: its modifiers, and the slots that hold the property's two ends.

    An intransitive one says nothing of a clause with an object: not "named" of "X named Y after Z".
    `subject_nouns` and `object_nouns` are alternatives; one that ends with "!" must hold for certain.
    """

    property: OntologyProperty
    lemma: str
    modifiers: frozenset[str]
    subject: Slot
    object: Slot
    quality: float
    subject_nouns: tuple[str, ...] = ()
    object_nouns: tuple[str, ...] = ()
    intransitive: bool = False


@dataclass(frozen=True, slots=True)
class _Concept:
    """A relation of the lexicon; `cues` are (words, subject slot, object slot)."""

    subject: tuple[str, ...]
    object: tuple[str, ...]
    cues: tuple[tuple[str, Slot, Slot], ...]

    def inverse(self) -> "_Concept":
        return _Concept(self.object, self.subject, tuple((words, o, s) for words, s, o in self.cues))


def cues_of(ontology: Ontology) -> dict[str, tuple[Cue, ...]]:
    """Every cue for the ontology's properties by its lemma."""
    found: dict[str, dict[Cue, None]] = {}
    for term in ontology.properties:
        for label in labels_of(term):
            for cue in (*_from_label(term, label), *_from_concepts(term, label)):
                found.setdefault(cue.lemma, {})[cue] = None
    return {lemma: tuple(cues) for lemma, cues in found.items()}


def _from_concepts(term: OntologyProperty, label: str) -> list[Cue]:
    return [
        _cue(term, words, subject, object_, 0.95, concept)
        for concept in _concepts().get(key_of(label), ())
        for words, subject, object_ in concept.cues
        if _suits(term, concept)
    ]


def _suits(term: OntologyProperty, concept: _Concept) -> bool:
    """Whether property and concept both lead to values, or both to things."""
    values = {"date", "number"} & set(concept.object)
    return bool(values) == (term.kind is PropertyKind.DATATYPE) or not concept.object or "date" in concept.object


def _cue(
    term: OntologyProperty, words: str, subject: Slot, object_: Slot, quality: float, concept: _Concept | None = None
) -> Cue:
    *modifiers, lemma = words.split()
    cue = Cue(term, lemma, frozenset(modifiers), subject, object_, quality)
    if concept is None:
        return cue
    return replace(cue, subject_nouns=concept.subject, object_nouns=concept.object)


def _from_label(term: OntologyProperty, label: str) -> list[Cue]:
    """The cues that the words of a label are by themselves."""
    words = words_of(label)
    while len(words) > 1 and words[0] in _LEADING:
        words = words[1:]
    while len(words) > 1 and words[-1] in _UNIT_TAILS:
        words = words[:-1]
    if not words:
        return []
    if len(words) > 1 and words[-1] in word_set("prepositions"):
        return _from_ending(term, words[:-1], words[-1])
    verb = base_verb(words[-1])
    if verb is not None and len(words) > 1 and words[-1].endswith(("ed", "n", "d")):
        noun = " ".join(map(singular, words[:-1]))
        return [_cue(term, verb, Slot("subj"), Slot("obj", noun), 1.0)] if taxonomy().find(noun) else []
    found = [_cue(term, verb, Slot("subj"), Slot("obj"), 1.0)] if verb is not None and len(words) == 1 else []
    phrase = _phrase(words)
    if phrase[-1] in _DATE_HEADS and len(phrase) > 1:
        found.extend(_dated(term, phrase[:-1]))
    return [*found, _cue(term, " ".join(phrase), Slot("of"), Slot("subj"), 1.0)]


def _from_ending(term: OntologyProperty, words: list[str], preposition: str) -> list[Cue]:
    """ "founded by", "located in", "works for", "capital of"."""
    verb = base_verb(words[-1])
    if verb is not None and preposition == "by":
        return [_cue(term, verb, Slot("obj"), Slot("subj"), 1.0)] if len(words) == 1 else []
    if verb is not None and preposition != "of":
        return _either_way(term, verb, preposition)
    return [_cue(term, " ".join(_phrase(words)), Slot("subj"), Slot(preposition), 1.0)]


def _phrase(words: list[str]) -> list[str]:
    """The words with the head noun last: "place of birth" becomes "birth place"."""
    if "of" in words[1:-1]:
        place = words.index("of", 1)
        words = [w for w in words[place + 1 :] if w not in _LEADING] + words[:place]
    return [*words[:-1], singular(words[-1])]


def _dated(term: OntologyProperty, words: list[str]) -> list[Cue]:
    verb = _NOMINALS.get(words[-1]) or base_verb(words[-1]) or words[-1]
    return _either_way(term, verb, "date") if len(words) == 1 else []


def _either_way(term: OntologyProperty, verb: str, slot: str) -> list[Cue]:
    """ "is located in" and "studied at" look alike: the subject is what is done to, or what does it."""
    active = _cue(term, verb, Slot("subj"), Slot(slot), 1.0)
    return [_cue(term, verb, Slot("obj"), Slot(slot), 1.0), replace(active, intransitive=True)]


@cache
def _concepts() -> dict[str, tuple[_Concept, ...]]:
    """The lexicon's relations by the keys of their labels; an inverse label gives the relation turned round."""
    found: dict[str, list[_Concept]] = {}
    for row in tomllib.loads(lexicon_text("relations.toml")).values():
        concept = _Concept(
            _nouns(row.get("subject", "")),
            _nouns(row.get("object", "")),
            tuple(c for text in row["cues"] for c in _read(text)),
        )
        for label in dict.fromkeys(map(key_of, row["labels"])):
            found.setdefault(label, []).append(concept)
        for label in dict.fromkeys(map(key_of, row.get("inverse", ()))):
            found.setdefault(label, []).append(concept.inverse())
    return {label: tuple(concepts) for label, concepts in found.items()}


def _nouns(text: str) -> tuple[str, ...]:
    return tuple(noun for noun in text.split("|") if noun and noun != "thing")


def _read(text: str) -> list[tuple[str, Slot, Slot]]:
    *words, subject, object_ = text.split()
    return [(" ".join(words), s, o) for s in _slots(subject) for o in _slots(object_)]


def _slots(text: str) -> list[Slot]:
    """ "in|at-place" is two slots, each with the noun its filler must be compatible with."""
    names, _, noun = text.partition("-")
    return [Slot(name, noun.replace("_", " ")) for name in names.split("|")]
