"""Relations: frames whose word is a cue of a property and whose slots hold ends of the right kinds."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from knowledge.domain import Literal, Span
from knowledge.findings import FoundRelation
from knowledge.literals import fits, normalise_literal, without_unit
from knowledge.models.embedded.cues import Cue
from knowledge.models.embedded.lexicon import taxonomy
from knowledge.models.embedded.parsing import Parse
from knowledge.models.embedded.profiles import Profile
from knowledge.models.embedded.references import Reference, References
from knowledge.models.embedded.slots import Frame
from knowledge.models.embedded.values import Value, value_at
from knowledge.models.embedded.vocabulary import ClassVocabulary
from knowledge.ontology import PropertyKind

_VALUES = frozenset({"date", "number"})
_LEAST_FIT = 0.6
_NEARLY_AS_LIKELY = 0.3
_GENERIC_LABELS = frozenset({"location", "place"})
# How many of the facts that the rules find in annotated text are annotated, in log-odds (docs/fidelity.md): by a word
# of a list of common relations, and what changes that.
_BY_LIST, _BY_OWN_LABEL, _BY_PHRASE, _OF_UNSURE_KIND = 0.4, 0.9, -1.7, -1.5
_SURE_FIT, _SURE_REFERENCE = 0.9, 0.7
_PLACE_LIKE = frozenset({"place", "facility", "organization"})


@dataclass(frozen=True, slots=True)
class Thing:
    """An entity as the rules see it: what the passage says it is, and its ontology classes."""

    profile: Profile
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Candidate:
    cue: Cue
    frame: Frame
    subject: int
    object: int | None
    literal: Literal | None
    fit: float
    sense: float
    certainty: float

    @property
    def is_generic(self) -> bool:
        return self.cue.property.label.casefold() in _GENERIC_LABELS

    @property
    def strength(self) -> float:
        """Which of several readings is the best."""
        return self.frame.certainty * self.cue.quality * self.certainty * (0.6 + 0.4 * self.fit)

    @property
    def confidence(self) -> float:
        odds = _BY_LIST
        odds += _BY_OWN_LABEL * (self.cue.quality == 1.0)
        odds += _BY_PHRASE * (self.certainty < _SURE_REFERENCE)
        odds += _OF_UNSURE_KIND * (self.fit < _SURE_FIT)
        return round(1 / (1 + math.exp(-odds)), 3)


def _best(rivals: list[_Candidate]) -> Iterator[_Candidate]:
    """Of the readings of one pair of ends those that take the most words into account, in the likeliest sense.

    "Write" has a screenwriter where a film is written, an author where a book is. Where an ontology says more than
    that a place is a "location" (country, administrative entity), that is said instead.
    """
    words = max(len(c.cue.modifiers) for c in rivals)
    told = [c for c in rivals if len(c.cue.modifiers) == words]
    likeliest = max(c.sense for c in told)
    likely = [c for c in told if c.sense >= likeliest - _NEARLY_AS_LIKELY]
    telling = {(c.subject, c.object) for c in likely if not c.is_generic}
    yield from (c for c in likely if not c.is_generic or (c.subject, c.object) not in telling)


class RelationFinder:
    """Finds the relations of one passage."""

    def __init__(
        self,
        parse: Parse,
        vocabulary: ClassVocabulary,
        cues: dict[str, tuple[Cue, ...]],
        things: tuple[Thing, ...],
        references: References,
        values: dict[int, Value],
    ) -> None:
        self._parse = parse
        self._vocabulary = vocabulary
        self._cues = cues
        self._things = things
        self._references = references
        self._values = values

    def find(self, frames: tuple[Frame, ...], least_confidence: float) -> tuple[FoundRelation, ...]:
        """The relations, best evidence first merged, sorted by subject, predicate and object."""
        merged: dict[tuple[int, str, int, str], list[_Candidate]] = {}
        for frame in frames:
            for candidate in self._of_frame(frame):
                merged.setdefault(self._identity(candidate), []).append(candidate)
        found = (self._relation(merged[key]) for key in sorted(merged))
        return tuple(relation for relation in found if relation.claim >= least_confidence)

    @staticmethod
    def _identity(candidate: _Candidate) -> tuple[int, str, int, str]:
        literal = "" if candidate.literal is None else f"{candidate.literal.datatype} {candidate.literal.lexical}"
        object_ = -1 if candidate.object is None else candidate.object
        return (candidate.subject, candidate.cue.property.iri, object_, literal)

    def _relation(self, candidates: list[_Candidate]) -> FoundRelation:
        best = max(candidates, key=lambda c: (c.confidence, c.strength))
        spans = sorted({self._parse.sentences[c.frame.sentence].span for c in candidates})
        return FoundRelation(
            best.subject, best.cue.property.iri, best.object, best.literal, best.confidence, tuple(spans)
        )

    def _of_frame(self, frame: Frame) -> Iterator[_Candidate]:
        """The candidates of a frame, for each pair of ends only the best-told ones."""
        found: dict[tuple[frozenset[int | None], str], list[_Candidate]] = {}
        for cue in self._cues_of(frame):
            for candidate in self._of_cue(frame, cue):
                surface = candidate.literal.surface if candidate.literal else ""
                ends = frozenset({candidate.subject, candidate.object})
                found.setdefault((ends, surface), []).append(candidate)
        for rivals in found.values():
            yield from _best(rivals)

    def _cues_of(self, frame: Frame) -> Iterator[Cue]:
        for cue in self._cues.get(frame.lemma, ()):
            if cue.modifiers <= frame.modifiers and not (cue.intransitive and frame.slots.get("obj")):
                yield cue
        if frame.is_noun and taxonomy().broader_than(frame.lemma) & _PLACE_LIKE:
            yield from self._cues.get("@place", ())

    def _of_cue(self, frame: Frame, cue: Cue) -> Iterator[_Candidate]:
        for subject_token in frame.slots.get(cue.subject.name, ()):
            subject = self._references.of(subject_token)
            if subject is None or min(fit := self._fit(subject.entity, cue, is_subject=True)) < _LEAST_FIT:
                continue
            for object_token in frame.slots.get(cue.object.name, ()):
                if object_token != subject_token:
                    yield from self._with_object(frame, cue, subject, fit, object_token)

    def _with_object(
        self, frame: Frame, cue: Cue, subject: Reference, subject_fit: tuple[float, float], token: int
    ) -> Iterator[_Candidate]:
        if cue.property.kind is PropertyKind.DATATYPE:
            literal = self._literal(cue, token)
            if literal is not None:
                fit, sense = min(subject_fit), subject_fit[1]
                yield _Candidate(cue, frame, subject.entity, None, literal, fit, sense, subject.certainty)
            return
        object_ = self._references.of(token)
        if object_ is None or object_.entity == subject.entity:
            return
        object_fit = self._fit(object_.entity, cue, is_subject=False)
        if min(object_fit) >= _LEAST_FIT:
            certainty = subject.certainty * object_.certainty
            fit = min(subject_fit) * min(object_fit)
            sense = min(subject_fit[1], object_fit[1])
            yield _Candidate(cue, frame, subject.entity, object_.entity, None, fit, sense, certainty)

    def _fit(self, entity: int, cue: Cue, *, is_subject: bool) -> tuple[float, float]:
        """How well an entity can be an end of the cue's property: by the ontology, and by the words' sense."""
        thing = self._things[entity]
        if is_subject and thing.profile.nouns & _VALUES:
            return 0.0, 0.0
        ontology = self._vocabulary.ontology
        ends_of = ontology.effective_domains if is_subject else ontology.effective_ranges
        wanted = ends_of(cue.property)
        nouns = cue.subject_nouns if is_subject else cue.object_nouns
        slot = cue.subject if is_subject else cue.object
        sense = max((self._sense(thing, noun) for noun in nouns), default=1.0)
        if slot.noun:
            sense = min(sense, self._sense(thing, slot.noun))
        return self._vocabulary.fit(thing.profile.nouns, thing.classes, wanted), sense

    @staticmethod
    def _sense(thing: Thing, noun: str) -> float:
        if noun in _VALUES:
            return 1.0
        found = thing.profile.is_a(noun.rstrip("!"))
        return 0.0 if noun.endswith("!") and (found < 1.0) else found

    def _literal(self, cue: Cue, token: int) -> Literal | None:
        """The value at a token, when it is of the kind that the property takes."""
        value = value_at(self._parse, self._values, token)
        ranges = cue.property.ranges
        if value is not None:
            if (cue.object.name == "date" or "date" in cue.object_nouns) and value.kind != "date":
                return None
            surface = self._parse.text[value.span.start : value.span.end]
            literal = normalise_literal(surface, ranges)
            if value.kind == "number" and not literal.datatype.endswith("#string"):
                literal = replace(literal, surface=without_unit(surface))
            measured = value.kind == "number" and literal.datatype.endswith("#string") and " " in surface
            return literal if fits(literal, ranges) and not measured else None
        if cue.object_nouns or cue.object.name in {"date", "number"}:
            return None
        return self._string(cue, token)

    def _string(self, cue: Cue, token: int) -> Literal | None:
        """A name given as text, for a property that takes any string."""
        word = self._parse.tokens[token]
        if word.pos not in {"PROPN", "NOUN", "NUM", "X"} or cue.quality < 1.0 or cue.object.name != "subj":
            return None
        span = self._phrase(token)
        surface = self._parse.text[span.start : span.end]
        literal = normalise_literal(surface, cue.property.ranges)
        return literal if cue.property.ranges and fits(literal, cue.property.ranges) else None

    def _phrase(self, token: int) -> Span:
        first = last = token
        for child in self._parse.dependents(token, "compound", "amod", "nummod", "nmod"):
            first, last = min(first, child), max(last, child)
        return self._parse.span_of(first, last + 1)
