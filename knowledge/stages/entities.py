"""Entities: which things a passage's mentions name, what they are called and of which classes they are."""

from collections import defaultdict
from collections.abc import Sequence

from knowledge.findings import THING, FoundEntities, FoundEntity, FoundMentions, ListedThing, Rejection
from knowledge.ontology import Ontology
from knowledge.quotes import occurrences
from knowledge.stages.mentions import items_by_thing, names_of

STAGE_VERSION = "2"


def find_entities(passage: str, found: FoundMentions, ontology: Ontology) -> FoundEntities:
    """The things that the mentions name, in order of first mention.

    Listed items with one id are one thing, items with different ids are different things. Further names that the
    passage does not have are rejected, and so are classes that the ontology does not have; the thing stays.
    """
    rejections: list[Rejection] = []
    mentions = _mentions_by_thing(found)
    entities: list[FoundEntity] = []
    for key, items in items_by_thing(found.things).items():
        places = tuple(mentions[key])
        names = _names(passage, items, [found.mentions[n].text for n in places], rejections)
        if places:
            classes = _classes(names[0], items, ontology, rejections)
            entities.append(FoundEntity(names[0], classes, places, key, tuple(names[1:])))
    return FoundEntities(tuple(sorted(entities, key=lambda entity: entity.mentions)), tuple(rejections))


def _mentions_by_thing(found: FoundMentions) -> defaultdict[str, list[int]]:
    """The indexes of each thing's mentions, in order, by its key."""
    mentions: defaultdict[str, list[int]] = defaultdict(list)
    for index, mention in enumerate(found.mentions):
        for key in mention.things:
            mentions[key].append(index)
    return mentions


def _names(
    passage: str, items: Sequence[ListedThing], surfaces: Sequence[str], rejections: list[Rejection]
) -> list[str]:
    """The first name given comes first, and further ones count if the passage has them; else the longest mention."""
    given = names_of(items)
    said = [name for name in dict.fromkeys(given) if occurrences(passage, name)]
    rejections.extend(
        Rejection("is a second name that the passage does not have", name)
        for name in dict.fromkeys(given[1:])
        if name not in said and name != given[0]
    )
    longest_first = sorted(set(surfaces), key=lambda text: (-len(text), text))
    return list(dict.fromkeys([*given[:1], *said, *longest_first]))


def _classes(
    name: str, items: Sequence[ListedThing], ontology: Ontology, rejections: list[Rejection]
) -> tuple[str, ...]:
    """The classes that the items name, the first named first."""
    classes: dict[str, None] = {}
    for said in dict.fromkeys(said for item in items for said in item.types):
        iri = ontology.class_of(said)
        if iri is not None:
            classes[iri] = None
        elif said.casefold() != THING.casefold():
            rejections.append(Rejection("is not a class of the ontology", f"{name}: {said}"))
    return tuple(classes)
