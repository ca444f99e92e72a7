"""Mentions: which places of a passage an extractor's list of things names, and which things they name."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from knowledge.domain import Span
from knowledge.findings import FoundMention, ListedThing, Rejection
from knowledge.ontology import Ontology
from knowledge.stages.names import is_proper
from knowledge.stages.placing import place_mentions, place_name

STAGE_VERSION = "2"


@dataclass(frozen=True, slots=True)
class PlacedMentions:
    """Mentions in order of appearance, the particular things among those listed, and what was left out."""

    mentions: tuple[FoundMention, ...]
    things: tuple[ListedThing, ...]
    rejections: tuple[Rejection, ...]


def find_mentions(passage: str, listed: Sequence[ListedThing], ontology: Ontology) -> PlacedMentions:
    """The places in the passage that name the listed things; a thing without mentions is where its name is.

    The name of a class is no mention of a thing. Each listed mention without a place is rejected, and each thing that
    has none at all, though it stays listed: what is said about it may be a value.
    """
    items = items_by_thing(listed)
    kinds = {key: group for key, group in items.items() if not _is_particular(group, ontology)}
    particular = {key: group for key, group in items.items() if key not in kinds}
    placing = place_mentions(passage, [[m for item in group for m in item.mentions] for group in particular.values()])
    places = {
        key: spans or _places_of_name(passage, group)
        for (key, group), spans in zip(particular.items(), placing.spans, strict=True)
    }
    nowhere = {key: group for key, group in particular.items() if not places[key]}
    rejections = (
        *_rejected("is the name of a class and no particular thing", kinds),
        *(Rejection("is not in the passage", text) for _, text in placing.missing),
        *_rejected("is named nowhere in the passage", nowhere),
    )
    things = tuple(item for item in listed if item.key in particular)
    return PlacedMentions(_mentions(passage, places), things, rejections)


def items_by_thing(listed: Sequence[ListedThing]) -> dict[str, list[ListedThing]]:
    """The items of each thing, by its key, in the order of the list."""
    items: dict[str, list[ListedThing]] = {}
    for item in listed:
        items.setdefault(item.key, []).append(item)
    return items


def names_of(items: Sequence[ListedThing]) -> list[str]:
    """What the items of one thing call it, in their order."""
    return [name for item in items if (name := item.name.strip())]


def _is_particular(items: Sequence[ListedThing], ontology: Ontology) -> bool:
    """Whether a thing is more than the name of a class: `award` is a kind of things, `Oslo` one of a kind."""
    names = names_of(items)
    return not names or any(is_proper(name) or ontology.class_of(name) is None for name in names)


def _places_of_name(passage: str, items: Sequence[ListedThing]) -> set[Span]:
    """Where the passage has the first name of a thing."""
    return {span for name in names_of(items)[:1] for span in place_name(passage, name)}


def _rejected(reason: str, things: Mapping[str, Sequence[ListedThing]]) -> Iterator[Rejection]:
    for key, items in things.items():
        yield Rejection(reason, next(iter(names_of(items)), key))


def _mentions(passage: str, places: Mapping[str, set[Span]]) -> tuple[FoundMention, ...]:
    things: defaultdict[Span, list[str]] = defaultdict(list)
    for key, spans in places.items():
        for span in spans:
            things[span].append(key)
    return tuple(
        FoundMention(span, passage[span.start : span.end], things=tuple(keys))
        for span, keys in sorted(things.items(), key=lambda item: (item[0].start, item[0].end))
    )
