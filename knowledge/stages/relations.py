"""Relations: the facts about a passage's things, each with its evidence there."""

import re
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace

from knowledge.domain import Literal, Span
from knowledge.findings import (
    FoundEntity,
    FoundMentions,
    FoundRelation,
    FoundRelations,
    ListedThing,
    Rejection,
    Statement,
    Support,
)
from knowledge.literals import find_value, normalise_literal
from knowledge.ontology import Ontology, OntologyProperty, PropertyKind
from knowledge.quotes import locate, occurrences
from knowledge.stages.chunking import sentence_spans
from knowledge.stages.mentions import names_of

STAGE_VERSION = "3"
UNKNOWN_PREDICATE = "has a predicate that the ontology does not have"
"""Why a statement that cannot be mapped to the ontology is rejected."""
_FILLERS = frozenset({"", "n/a", "na", "none", "null", "nil", "unknown", "unspecified", "not specified", "-", "?"})


def find_relations(
    passage: str, found: FoundMentions, entities: Sequence[FoundEntity], ontology: Ontology
) -> FoundRelations:
    """The statements that the passage and the ontology bear out, in their order; the rest is rejected with the reason.

    A fact needs a predicate of the ontology, its ends among the entities, or a value in the passage, and evidence that
    names both ends. The same fact stated twice is one, with all its evidence.
    """
    reader = _FactReader(passage, found, entities, ontology)
    names = _first_names(found.things, without=frozenset())
    facts: dict[tuple[object, ...], FoundRelation] = {}
    rejections: list[Rejection] = []
    for item in found.statements:
        try:
            fact = reader.read(item)
        except _Unusable as reason:
            rejections.append(Rejection(str(reason), _shown(item, names)))
            continue
        value = fact.literal and (fact.literal.lexical, fact.literal.datatype)
        key = (fact.subject, fact.predicate, fact.object, value)
        facts[key] = _merged(facts[key], fact) if key in facts else fact
    return FoundRelations(tuple(facts.values()), tuple(rejections))


@dataclass(frozen=True, slots=True)
class _Value:
    """A literal and where the passage says it."""

    literal: Literal
    span: Span


class _Unusable(Exception):
    """Why a relation is no fact."""


class _FactReader:
    """Reads the statements about one passage."""

    def __init__(self, passage: str, found: FoundMentions, entities: Sequence[FoundEntity], ontology: Ontology) -> None:
        self._passage = passage
        self._ontology = ontology
        self._places = [tuple(found.mentions[n].span for n in entity.mentions) for entity in entities]
        self._unplaced = _first_names(found.things, without={entity.key for entity in entities})
        self._sentences = sentence_spans(passage)
        self._by_key = {entity.key: n for n, entity in enumerate(entities)}
        self._by_name: dict[str, int] = {}
        for n, entity in enumerate(entities):
            for name in (entity.name, *entity.other_names):
                self._by_name.setdefault(name.casefold(), n)

    def read(self, item: Statement) -> FoundRelation:
        """The fact.

        Raises:
            _Unusable: it is none, and why.
        """
        iri = self._ontology.property_of(item.predicate)
        predicate = self._ontology.get_property(iri) if iri else None
        if predicate is None:
            raise _Unusable(UNKNOWN_PREDICATE)
        subject = self._thing(item.subject)
        if subject is None:
            raise _Unusable("is about a thing that is not listed")
        quoted = item.evidence or locate(self._passage, item.quote, self._sentences)
        target = item.literal or self._target(item, predicate, quoted)
        if target == subject:
            raise _Unusable("leads from a thing to itself")
        linked = target if isinstance(target, int) else None
        literal = target.literal if isinstance(target, _Value) else item.literal
        evidence, support = item.evidence, Support.QUOTED
        if not evidence:
            evidence, support = self._grounded(quoted, self._ends(subject, target))
        places = item.evidence or evidence[:1]
        return FoundRelation(subject, predicate.iri, linked, literal, item.confidence, evidence, support, places)

    def _ends(self, subject: int, target: int | _Value | Literal) -> list[tuple[Span, ...]]:
        """Where the passage names the ends of a fact; a literal that came without its place may be anywhere."""
        ends = [self._places[subject]]
        if isinstance(target, int):
            ends.append(self._places[target])
        elif isinstance(target, _Value):
            ends.append((target.span,))
        return ends

    def _thing(self, reference: str) -> int | None:
        key = reference.strip().casefold()
        if key in self._by_key:
            return self._by_key[key]
        if re.fullmatch(r"\d+", key) and f"e{key}" in self._by_key:
            return self._by_key[f"e{key}"]
        return self._by_name.get(key)

    def _target(self, item: Statement, predicate: OntologyProperty, quoted: tuple[Span, ...]) -> int | _Value:
        """The object as the predicate's kind wants it, whichever way the model gave it."""
        thing = self._thing(item.object) if item.object.strip() else None
        said = item.value.strip()
        if predicate.kind is PropertyKind.OBJECT:
            thing = thing if thing is not None else self._by_name.get(said.casefold())
            if thing is not None:
                return thing
        elif not said:
            unplaced = self._unplaced.get(item.object.casefold(), "")
            said = self._surface(thing, quoted) if thing is not None else unplaced
        if said.casefold() in _FILLERS:
            raise _Unusable("leads to nothing that is listed or said")
        return self._value(said, predicate, quoted)

    def _surface(self, thing: int, quoted: tuple[Span, ...]) -> str:
        """How the quotation, else the passage, names a thing that the predicate wants as a value."""
        spans = self._places[thing]
        span = next((s for s in spans if any(quote.contains(s) for quote in quoted)), spans[0])
        return self._passage[span.start : span.end]

    def _value(self, said: str, predicate: OntologyProperty, quoted: tuple[Span, ...]) -> _Value:
        """The value where the quotation says it, else the passage: literally, else as another way to write it."""
        ranges = self._ontology.effective_ranges(predicate)
        for place in (*quoted, Span(0, len(self._passage))):
            text = self._passage[place.start : place.end]
            spans = occurrences(text, said)
            span = spans[0] if spans else find_value(text, said, ranges)
            if span is not None:
                surface = text[span.start : span.end]
                return _Value(normalise_literal(surface, ranges), span.shifted(place.start))
        raise _Unusable("leads to a value that the passage does not have")

    def _grounded(self, quoted: tuple[Span, ...], ends: Sequence[tuple[Span, ...]]) -> tuple[tuple[Span, ...], Support]:
        """The evidence, completed so that it names both ends, and how good it was."""
        if not quoted:
            for sentence in self._sentences:
                if all(any(sentence.contains(span) for span in spans) for spans in ends):
                    return (sentence,), Support.UNQUOTED
            raise _Unusable("quotes evidence that is not in the passage")
        evidence, support = set(quoted), Support.QUOTED
        for spans in ends:
            if not any(part.overlaps(span) for part in evidence for span in spans):
                evidence.add(self._sentence_of(_nearest(spans, quoted[0])))
                support = Support.UNNAMED
        return tuple(sorted(evidence)), support

    def _sentence_of(self, span: Span) -> Span:
        return next((sentence for sentence in self._sentences if sentence.overlaps(span)), span)


def _first_names(items: Iterable[ListedThing], without: Set[str]) -> Mapping[str, str]:
    """The names, by key, of listed things that the passage does not name: models list values as things, and write
    them in their own way."""
    names: dict[str, str] = {}
    for item in items:
        if item.key not in without:
            for name in names_of([item]):
                names.setdefault(item.key, name)
    return names


def _shown(item: Statement, names: Mapping[str, str]) -> str:
    """The statement for people: with the names of its things, where it has their ids."""
    subject, target = (names.get(said.strip().casefold(), said) for said in (item.subject, item.object))
    return f"{subject} {item.predicate} {target or item.value}"


def _nearest(spans: Sequence[Span], quote: Span) -> Span:
    """The last mention before the quotation, where an antecedent stands; else the first after it."""
    before = [span for span in spans if span.start < quote.start]
    return before[-1] if before else spans[0]


def _merged(first: FoundRelation, second: FoundRelation) -> FoundRelation:
    evidence = tuple(sorted({*first.evidence, *second.evidence}))
    best = max(first, second, key=lambda fact: (fact.support, fact.claim))
    return replace(best, evidence=evidence, places=tuple(sorted({*first.places, *second.places})))
