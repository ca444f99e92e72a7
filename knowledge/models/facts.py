"""From the relations of a chat model's answer to facts with evidence in the passage."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from knowledge.domain import FoundRelation, Literal, Rejection, Span
from knowledge.literals import find_value, normalise_literal
from knowledge.models.answers import RelationAnswer
from knowledge.ontology import Ontology, OntologyProperty, PropertyKind
from knowledge.quotes import locate, occurrences
from knowledge.stages.chunking import sentence_spans

# A fact whose quotation is not in the passage, but whose ends are named together in a sentence, is worth less;
# so is one whose quotation names an end only by a pronoun.
_UNQUOTED_FACTOR = 0.5
_UNNAMED_FACTOR = 0.8
_FILLERS = frozenset({"", "n/a", "na", "none", "null", "nil", "unknown", "unspecified", "not specified", "-", "?"})


@dataclass(frozen=True, slots=True)
class Named:
    """A thing of the passage: its ids and names in the answer, and where the passage mentions it."""

    ids: frozenset[str]
    names: Sequence[str]
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class _Value:
    """A literal and where the passage says it."""

    literal: Literal
    span: Span


class _Unusable(Exception):
    """Why a relation is no fact."""


class FactReader:
    """Reads the relations of one answer about one passage.

    `unplaced` are the names, by id, of listed things that the passage does not name: models list values as things,
    and write them in their own way.
    """

    def __init__(self, passage: str, things: Sequence[Named], unplaced: Mapping[str, str], ontology: Ontology) -> None:
        self._passage = passage
        self._things = things
        self._unplaced = unplaced
        self._ontology = ontology
        self._sentences = sentence_spans(passage)
        self._by_id = {id_: n for n, thing in reversed(list(enumerate(things))) for id_ in thing.ids}
        self._by_name: dict[str, int] = {}
        for n, thing in enumerate(things):
            for name in thing.names:
                self._by_name.setdefault(name.casefold(), n)

    def read_all(self, items: Iterable[RelationAnswer], rejections: list[Rejection]) -> tuple[FoundRelation, ...]:
        """The facts, each once with all its evidence, in the order of the answer; the rest goes to `rejections`."""
        found: dict[tuple[object, ...], FoundRelation] = {}
        for item in items:
            try:
                relation = self._read(item)
            except _Unusable as reason:
                shown = f"{item.subject_id} {item.predicate} {item.object_id or item.object_literal}"
                rejections.append(Rejection(str(reason), shown))
                continue
            value = relation.literal and (relation.literal.lexical, relation.literal.datatype)
            key = (relation.subject, relation.predicate, relation.object, value)
            found[key] = _merged(found[key], relation) if key in found else relation
        return tuple(found.values())

    def _read(self, item: RelationAnswer) -> FoundRelation:
        iri = self._ontology.property_of(item.predicate)
        predicate = self._ontology.get_property(iri) if iri else None
        if predicate is None:
            raise _Unusable("has a predicate that the ontology does not have")
        subject = self._thing(item.subject_id)
        if subject is None:
            raise _Unusable("is about a thing that is not listed")
        quoted = locate(self._passage, item.evidence, self._sentences)
        target = self._target(item, predicate, quoted)
        if target == subject:
            raise _Unusable("leads from a thing to itself")
        ends = [self._things[subject].spans]
        ends.append((target.span,) if isinstance(target, _Value) else self._things[target].spans)
        evidence, factor = self._grounded(quoted, ends)
        linked = None if isinstance(target, _Value) else target
        literal = target.literal if isinstance(target, _Value) else None
        return FoundRelation(subject, predicate.iri, linked, literal, round(item.confidence * factor, 4), evidence)

    def _thing(self, reference: str) -> int | None:
        key = reference.strip().casefold()
        if key in self._by_id:
            return self._by_id[key]
        if re.fullmatch(r"\d+", key) and f"e{key}" in self._by_id:
            return self._by_id[f"e{key}"]
        return self._by_name.get(key)

    def _target(self, item: RelationAnswer, predicate: OntologyProperty, quoted: tuple[Span, ...]) -> "int | _Value":
        """The object as the predicate's kind wants it, whichever way the model gave it."""
        thing = self._thing(item.object_id) if item.object_id.strip() else None
        said = item.object_literal.strip()
        if predicate.kind is PropertyKind.OBJECT:
            thing = thing if thing is not None else self._by_name.get(said.casefold())
            if thing is not None:
                return thing
        elif not said:
            unplaced = self._unplaced.get(item.object_id.casefold(), "")
            said = self._surface(thing, quoted) if thing is not None else unplaced
        if said.casefold() in _FILLERS:
            raise _Unusable("leads to nothing that is listed or said")
        return self._value(said, predicate, quoted)

    def _surface(self, thing: int, quoted: tuple[Span, ...]) -> str:
        """How the quotation, else the passage, names a thing that the predicate wants as a value."""
        spans = self._things[thing].spans
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

    def _grounded(self, quoted: tuple[Span, ...], ends: Sequence[tuple[Span, ...]]) -> tuple[tuple[Span, ...], float]:
        """The evidence, completed so that it names both ends, and what that takes off the confidence."""
        if not quoted:
            for sentence in self._sentences:
                if all(any(sentence.contains(span) for span in spans) for spans in ends):
                    return (sentence,), _UNQUOTED_FACTOR
            raise _Unusable("quotes evidence that is not in the passage")
        evidence, factor = set(quoted), 1.0
        for spans in ends:
            if not any(part.overlaps(span) for part in evidence for span in spans):
                evidence.add(self._sentence_of(_nearest(spans, quoted[0])))
                factor = _UNNAMED_FACTOR
        return tuple(sorted(evidence)), factor

    def _sentence_of(self, span: Span) -> Span:
        return next((sentence for sentence in self._sentences if sentence.overlaps(span)), span)


def _nearest(spans: Sequence[Span], quote: Span) -> Span:
    """The last mention before the quotation, where an antecedent stands; else the first after it."""
    before = [span for span in spans if span.start < quote.start]
    return before[-1] if before else spans[0]


def _merged(first: FoundRelation, second: FoundRelation) -> FoundRelation:
    evidence = tuple(sorted({*first.evidence, *second.evidence}))
    return replace(first, confidence=max(first.confidence, second.confidence), evidence=evidence)
