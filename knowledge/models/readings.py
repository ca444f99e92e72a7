"""From a chat model's answer to findings: every item finds its place in the passage or is rejected."""

from dataclasses import dataclass, field, replace

from knowledge.domain import FoundEntity, FoundMention, FoundRelation, Rejection, Span
from knowledge.models.answers import THING, EntityAnswer, MentionAnswer, PassageAnswer
from knowledge.models.facts import FactReader, Named
from knowledge.models.placing import place_mentions, place_name
from knowledge.ontology import Ontology
from knowledge.quotes import occurrences
from knowledge.stages.names import is_proper


@dataclass(frozen=True, slots=True)
class Findings:
    """What an answer says about a passage, as far as the passage bears it out."""

    mentions: tuple[FoundMention, ...]
    entities: tuple[FoundEntity, ...]
    relations: tuple[FoundRelation, ...]
    rejections: tuple[Rejection, ...]

    def noting(self, rejection: Rejection) -> "Findings":
        """The same with one more rejection."""
        return replace(self, rejections=(*self.rejections, rejection))


def read_answer(passage: str, answer: PassageAnswer, ontology: Ontology) -> Findings:
    """The things that the passage names and the facts that it states, out of those that the answer lists.

    Items with one id are one thing, items with different ids are different things. A thing needs a place in the
    passage that names it, a fact needs its ends, its predicate and its evidence there. The same fact said twice is one.
    """
    rejections = list(answer.rejections)
    listed = [thing for thing in _things(answer.entities) if _is_particular(thing, ontology, rejections)]
    things = _placed(passage, listed, rejections)
    _classify(things, ontology, rejections)
    things.sort(key=lambda thing: sorted(thing.spans))
    spans = sorted({span for thing in things for span in thing.spans})
    index = {span: n for n, span in enumerate(spans)}
    entities = tuple(
        FoundEntity(thing.name, tuple(thing.classes), tuple(sorted(index[span] for span in thing.spans)))
        for thing in things
    )
    named = [Named(t.ids, t.names, tuple(sorted(t.spans))) for t in things]
    unplaced = {id_: thing.names[0] for thing in listed if not thing.spans and thing.names for id_ in thing.ids}
    reader = FactReader(passage, named, unplaced, ontology)
    relations = reader.read_all(answer.relations, rejections)
    mentions = tuple(FoundMention(span, passage[span.start : span.end]) for span in spans)
    return Findings(mentions, entities, relations, tuple(rejections))


@dataclass(slots=True)
class _Thing:
    """What the items of one id say together."""

    ids: frozenset[str]
    names: list[str] = field(default_factory=list[str])
    types: list[str] = field(default_factory=list[str])
    mentions: list[MentionAnswer] = field(default_factory=list[MentionAnswer])
    spans: set[Span] = field(default_factory=set[Span])
    classes: dict[str, None] = field(default_factory=dict[str, None])

    @property
    def name(self) -> str:
        return self.names[0]

    def add(self, item: EntityAnswer) -> None:
        self.names.extend(name for name in [item.name.strip()] if name)
        self.types.extend(item.types)
        self.mentions.extend(item.mentions)


def _things(items: tuple[EntityAnswer, ...]) -> list[_Thing]:
    """Items without an id are told apart by name."""
    things: dict[str, _Thing] = {}
    for item in items:
        key = item.id.strip().casefold() or f"name:{item.name.strip().casefold()}"
        things.setdefault(key, _Thing(frozenset({key}))).add(item)
    return list(things.values())


def _is_particular(thing: _Thing, ontology: Ontology, rejections: list[Rejection]) -> bool:
    """Whether a thing is more than the name of a class: `award` is a kind of things, `Oslo` one of a kind."""
    if not thing.names or any(is_proper(name) or ontology.class_of(name) is None for name in thing.names):
        return True
    rejections.append(Rejection("is the name of a class and no particular thing", thing.name))
    return False


def _placed(passage: str, things: list[_Thing], rejections: list[Rejection]) -> list[_Thing]:
    """The things that the passage names, with the places where it does."""
    placing = place_mentions(passage, [thing.mentions for thing in things])
    rejections.extend(Rejection("is not in the passage", text) for _, text in placing.missing)
    for thing, spans in zip(things, placing.spans, strict=True):
        thing.spans = spans or {span for name in thing.names[:1] for span in place_name(passage, name)}
        _choose_names(passage, thing, rejections)
    rejections.extend(
        Rejection("is named nowhere in the passage", thing.names[0] if thing.names else next(iter(thing.ids)))
        for thing in things
        if not thing.spans
    )
    return [thing for thing in things if thing.spans]


def _choose_names(passage: str, thing: _Thing, rejections: list[Rejection]) -> None:
    """The first name given comes first, and further ones count if the passage has them; else its longest mention."""
    said = [name for name in dict.fromkeys(thing.names) if occurrences(passage, name)]
    rejections.extend(
        Rejection("is a second name that the passage does not have", name)
        for name in dict.fromkeys(thing.names[1:])
        if name not in said and name != thing.names[0]
    )
    surfaces = sorted((passage[s.start : s.end] for s in thing.spans), key=lambda text: (-len(text), text))
    thing.names = list(dict.fromkeys([*thing.names[:1], *said, *surfaces]))


def _classify(things: list[_Thing], ontology: Ontology, rejections: list[Rejection]) -> None:
    for thing in things:
        for name in dict.fromkeys(thing.types):
            iri = ontology.class_of(name)
            if iri is not None:
                thing.classes[iri] = None
            elif name.casefold() != THING.casefold():
                rejections.append(Rejection("is not a class of the ontology", f"{thing.name}: {name}"))
