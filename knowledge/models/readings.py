"""From a chat model's validated answer to findings: every item finds its place in the passage or is rejected."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator

from knowledge.domain import FoundEntity, FoundMention, FoundRelation, Literal, Rejection, Span
from knowledge.literals import normalise_literal
from knowledge.models.answers import (
    THING,
    EntitiesAnswer,
    EntityAnswer,
    MentionAnswer,
    MentionsAnswer,
    RelationAnswer,
    RelationsAnswer,
)
from knowledge.ontology import Ontology, OntologyProperty, PropertyKind
from knowledge.quotes import locate, occurrences
from knowledge.stages.chunking import sentence_spans

_FENCED = re.compile(r"\A\s*```[a-zA-Z]*\s*\n(.*?)\n?\s*```\s*\Z", re.DOTALL)
# A fact whose quotation is not in the passage, but whose ends are named together in a sentence, is worth less.
_UNQUOTED_CONFIDENCE = 0.5

# Written as an escape, whose backslash is not itself escaped.
_NUL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")
Rejections = tuple[Rejection, ...]


def json_part(answer: str) -> str:
    """The answer without the code fence that some models put around JSON, and without NUL, which no text has."""
    fenced = _FENCED.match(answer)
    return _NUL.sub(r"\1", fenced.group(1) if fenced else answer)


def read_mentions(text: str, answer: MentionsAnswer) -> tuple[tuple[FoundMention, ...], Rejections]:
    """Each mention at its place: where it says, if the text is there, else at its next place not yet taken."""
    taken: set[Span] = set()
    rejections: list[Rejection] = []
    for item in answer.mentions:
        span = _place(text, item, taken)
        if span is None:
            rejections.append(Rejection("is not in the passage, or not that often", item.text))
        else:
            taken.add(span)
    found = (FoundMention(span, text[span.start : span.end]) for span in sorted(taken))
    return tuple(found), tuple(rejections)


def _place(text: str, item: MentionAnswer, taken: set[Span]) -> Span | None:
    surface = item.text.strip()
    if surface and item.start >= 0 and text.startswith(surface, item.start):
        hinted = Span(item.start, item.start + len(surface))
        if hinted not in taken:
            return hinted
    places = [span for span in occurrences(text, surface) if span not in taken]
    return next((span for span in places if _is_whole(text, span)), places[0] if places else None)


def _is_whole(text: str, span: Span) -> bool:
    before = text[span.start - 1 : span.start]
    return not (before.isalnum() or text[span.end : span.end + 1].isalnum())


def read_entities(
    mentions: tuple[FoundMention, ...], answer: EntitiesAnswer, ontology: Ontology
) -> tuple[tuple[FoundEntity, ...], Rejections]:
    """Mentions of one name whose classes have something in common are one entity."""
    rejections: list[Rejection] = []
    groups: dict[str, list[_Group]] = defaultdict(list)
    for item in answer.entities:
        if not 1 <= item.mention_id <= len(mentions):
            rejections.append(Rejection("refers to a mention that was not listed", f"{item.mention_id} {item.name}"))
            continue
        classes = tuple(_classes(item, ontology, rejections))
        name = item.name.strip() or mentions[item.mention_id - 1].text
        _group_for(groups[name.casefold()], name, classes).add(item.mention_id - 1, classes)
    found = [group.entity() for same_name in groups.values() for group in same_name]
    found.sort(key=lambda entity: entity.mentions)
    return tuple(found), tuple(rejections)


class _Group:
    def __init__(self, name: str) -> None:
        self.name = name
        self.classes: dict[str, None] = {}
        self.mentions: set[int] = set()

    def add(self, mention: int, classes: tuple[str, ...]) -> None:
        self.mentions.add(mention)
        self.classes.update(dict.fromkeys(classes))

    def entity(self) -> FoundEntity:
        return FoundEntity(self.name, tuple(self.classes), tuple(sorted(self.mentions)))


def _group_for(groups: list[_Group], name: str, classes: tuple[str, ...]) -> _Group:
    for group in groups:
        if not classes or not group.classes or set(classes) & set(group.classes):
            return group
    groups.append(_Group(name))
    return groups[-1]


def _classes(item: EntityAnswer, ontology: Ontology, rejections: list[Rejection]) -> Iterator[str]:
    for name in dict.fromkeys(item.types):
        iri = ontology.class_of(name)
        if iri is not None:
            yield iri
        elif name != THING:
            rejections.append(Rejection("is not a class of the ontology", f"{item.name}: {name}"))


def read_relations(
    text: str, entities: tuple[FoundEntity, ...], answer: RelationsAnswer, ontology: Ontology
) -> tuple[tuple[FoundRelation, ...], Rejections]:
    """The facts whose ends, predicate and evidence can be made out; the same fact said twice is one."""
    reader = _RelationReader(text, entities, ontology)
    rejections: list[Rejection] = []
    found: dict[tuple[object, ...], FoundRelation] = {}
    for item in answer.relations:
        relation = reader.read(item)
        if isinstance(relation, str):
            shown = f"{item.subject_id} {item.predicate} {item.object_id or item.object_literal}"
            rejections.append(Rejection(relation, shown))
            continue
        key = (relation.subject, relation.predicate, relation.object, relation.literal)
        found[key] = _merged(found[key], relation) if key in found else relation
    return tuple(found.values()), tuple(rejections)


def _merged(first: FoundRelation, second: FoundRelation) -> FoundRelation:
    evidence = tuple(sorted({*first.evidence, *second.evidence}))
    confidence = max(first.confidence, second.confidence)
    return FoundRelation(first.subject, first.predicate, first.object, first.literal, confidence, evidence)


class _RelationReader:
    """Reads one relation at a time; `read` gives the relation, or the reason for which it is none."""

    def __init__(self, text: str, entities: tuple[FoundEntity, ...], ontology: Ontology) -> None:
        self._text = text
        self._entities = entities
        self._ontology = ontology
        self._sentences = sentence_spans(text)
        self._by_name = {entity.name.casefold(): n for n, entity in reversed(list(enumerate(entities)))}

    def read(self, item: RelationAnswer) -> FoundRelation | str:
        iri = self._ontology.property_of(item.predicate)
        predicate = self._ontology.get_property(iri) if iri else None
        if predicate is None:
            return "has a predicate that the ontology does not have"
        subject = self._entity(item.subject_id)
        if subject is None:
            return "is about a thing that was not listed"
        target = self._target(item, predicate)
        if target is None:
            return "leads to nothing that was listed or said"
        names = [
            self._entities[subject].name,
            target.surface if isinstance(target, Literal) else self._entities[target].name,
        ]
        evidence, confidence = self._evidence(item, names)
        if not evidence:
            return "quotes evidence that is not in the passage"
        linked = None if isinstance(target, Literal) else target
        literal = target if isinstance(target, Literal) else None
        return FoundRelation(subject, predicate.iri, linked, literal, confidence, evidence)

    def _entity(self, reference: str | None) -> int | None:
        reference = (reference or "").strip()
        match = re.fullmatch(r"e?(\d+)", reference)
        if match and 1 <= int(match.group(1)) <= len(self._entities):
            return int(match.group(1)) - 1
        return self._by_name.get(reference.casefold())

    def _target(self, item: RelationAnswer, predicate: OntologyProperty) -> int | Literal | None:
        """The object as the predicate's kind wants it, whichever way the model gave it."""
        entity = self._entity(item.object_id)
        surface = (item.object_literal or "").strip()
        if predicate.kind is PropertyKind.DATATYPE:
            surface = surface or (self._entities[entity].name if entity is not None else "")
        else:
            entity = entity if entity is not None else self._by_name.get(surface.casefold())
            if entity is not None:
                return entity
        if not surface:
            return None
        return normalise_literal(surface, self._ontology.effective_ranges(predicate))

    def _evidence(self, item: RelationAnswer, names: Iterable[str]) -> tuple[tuple[Span, ...], float]:
        quoted = locate(self._text, item.evidence, self._sentences)
        if quoted:
            return quoted, item.confidence
        folded = [name.casefold() for name in names]
        for sentence in self._sentences:
            said = self._text[sentence.start : sentence.end].casefold()
            if all(name in said for name in folded):
                return (sentence,), min(item.confidence, _UNQUOTED_CONFIDENCE)
        return (), 0.0
