"""One passage read with one ontology: mentions, entities and relations, from a single parse. Synchronous."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from knowledge.domain import Span
from knowledge.findings import FoundEntity, FoundMention, FoundRelation
from knowledge.models.embedded.clustering import cluster, plain
from knowledge.models.embedded.cues import Cue, cues_of
from knowledge.models.embedded.frames import find_frames
from knowledge.models.embedded.lexicon import LABEL_KINDS, countries, nationalities
from knowledge.models.embedded.names import find_names
from knowledge.models.embedded.parsing import NamedSpan, Parse, parse
from knowledge.models.embedded.profiles import Profile, profile_of
from knowledge.models.embedded.references import References
from knowledge.models.embedded.relations import RelationFinder, Thing
from knowledge.models.embedded.slots import Frame
from knowledge.models.embedded.unnamed import find_unnamed
from knowledge.models.embedded.values import Value, find_values, life_dates
from knowledge.models.embedded.vocabulary import ClassVocabulary
from knowledge.ontology import Ontology

# A fact that is likelier wrong than right is not given, but may tell of which class a thing is.
_LEAST_CONFIDENCE, _LEAST_TELLING = 0.5, 0.2
_VALUE_LABELS = {"date": "DATE", "number": "CARDINAL"}


@dataclass(frozen=True)
class Reader:
    """An ontology prepared for reading: its classes by noun and its properties by cue."""

    ontology: Ontology

    @cached_property
    def vocabulary(self) -> ClassVocabulary:
        """The classes by the nouns that they stand for."""
        return ClassVocabulary(self.ontology)

    @cached_property
    def cues(self) -> dict[str, tuple[Cue, ...]]:
        """The properties by the words that state them."""
        return cues_of(self.ontology)

    @cached_property
    def kinds(self) -> dict[str, str | None]:
        """For each label of OntoNotes the class that all things with it have, if the ontology has one."""
        vocabulary = self.vocabulary
        found = {label: vocabulary.classes_for(noun) for label, noun in LABEL_KINDS.items()}
        return {label: classes[0] if len(classes) == 1 else None for label, classes in found.items()}


class Passage:
    """A parsed passage; names, values and frames are found once, however often it is asked."""

    def __init__(self, parse: Parse) -> None:
        self._parse = parse

    @cached_property
    def names(self) -> tuple[NamedSpan, ...]:
        """What it names, in order."""
        return find_names(self._parse)

    @cached_property
    def _values(self) -> dict[int, Value]:
        return find_values(self._parse)

    @cached_property
    def _frames(self) -> tuple[Frame, ...]:
        return tuple(find_frames(self._parse))

    def mentions(self, reader: Reader) -> tuple[FoundMention, ...]:
        """The places that name things, or say what a named thing is related to, in order.

        Values are things only to an ontology with a class for them.
        """
        taken = frozenset(i for name in self.names for i in range(name.first, name.last))
        unnamed = find_unnamed(self._parse, self._frames, reader.cues, reader.vocabulary, taken)
        wanted = [name for name in self.names if self._is_wanted(name, reader)]
        found = [self._mention(span, reader) for span in (*wanted, *unnamed)]
        for kind in ("date", "number"):
            classes = reader.vocabulary.by_noun.get(kind, ())
            for span in sorted(self._value_spans(kind) if classes else ()):
                if not any(span.overlaps(m.span) for m in found):
                    found.append(FoundMention(span, self._parse.text[span.start : span.end], classes[0]))
        return tuple(sorted(found, key=lambda m: (m.span, m.text)))

    def _value_spans(self, kind: str) -> set[Span]:
        """The values of a kind that are written in digits: "one" is seldom a number that matters."""
        found = {value.span for value in self._values.values() if value.kind == kind}
        return {span for span in found if any(c.isdigit() for c in self._parse.text[span.start : span.end])}

    def _mention(self, name: NamedSpan, reader: Reader) -> FoundMention:
        span = self._parse.span_of(name.first, name.last)
        class_iri = None if name.label == "NORP" else reader.kinds.get(name.label)
        return FoundMention(span, self._parse.text[span.start : span.end], class_iri)

    def _is_wanted(self, name: NamedSpan, reader: Reader) -> bool:
        """Nationalities only where the ontology has classes for countries or peoples."""
        if name.label != "NORP":
            return True
        known = self._parse.tokens[name.first].text in nationalities() or name.last - name.first > 1
        return known and any(reader.vocabulary.has(noun) for noun in ("country", "ethnic group"))

    def entities(self, mentions: Sequence[FoundMention], reader: Reader) -> tuple[FoundEntity, ...]:
        """The things that the mentions name, with their classes, in order of first mention.

        A thing without any class stays only if some relation says something about it.
        """
        spans = [self._named(m.span, m.text) for m in mentions]
        groups = cluster([(m.text, s.label) for m, s in zip(mentions, spans, strict=True)])
        found = [self._entity(group, mentions, spans, reader) for group in groups]
        relations = self._relate([[spans[i] for i in group] for group in groups], found, reader, _LEAST_TELLING)
        refined = self._refined(found, relations, reader)
        used = {i for r in relations for i in (r.subject, r.object) if i is not None}
        return tuple(entity for index, entity in enumerate(refined) if entity.classes or index in used)

    def _named(self, span: Span, text: str) -> NamedSpan:
        """The tokens of a mention, with the label that names or values there have."""
        inside = self._parse.tokens_in(span)
        first, last = (inside[0], inside[-1] + 1) if inside else (0, 1)
        for name in self.names:
            if (name.first, name.last) == (first, last):
                return name
        value = self._values.get(first)
        if value is not None and value.span == span:
            return NamedSpan(first, last, _VALUE_LABELS[value.kind])
        overlapping = [n for n in self.names if n.first < last and first < n.last and n.label != "NORP"]
        return NamedSpan(first, last, overlapping[0].label if len(overlapping) == 1 else "")

    def _entity(
        self, group: list[int], mentions: Sequence[FoundMention], spans: list[NamedSpan], reader: Reader
    ) -> FoundEntity:
        profile = profile_of(self._parse, tuple(spans[i] for i in group))
        given = [iri for i in group if (iri := mentions[i].class_iri) is not None]
        name = _name(tuple(mentions[i].text for i in group))
        return FoundEntity(name, classes_of(profile, tuple(dict.fromkeys(given)), reader), tuple(group))

    def _refined(
        self, entities: list[FoundEntity], relations: tuple[FoundRelation, ...], reader: Reader
    ) -> list[FoundEntity]:
        """The entities with the classes that their relations' domains and ranges add where these say more."""
        properties = {p.iri: p for p in reader.ontology.properties}
        added: dict[int, dict[str, None]] = {}
        for relation in relations:
            term = properties[relation.predicate]
            ends = (
                (relation.subject, reader.ontology.effective_domains(term)),
                (relation.object, reader.ontology.effective_ranges(term)),
            )
            for entity, classes in ends:
                if entity is not None and len(classes) == 1:
                    added.setdefault(entity, {})[classes[0]] = None
        return [self._with_classes(e, tuple(added.get(i, ())), reader) for i, e in enumerate(entities)]

    @staticmethod
    def _with_classes(entity: FoundEntity, classes: tuple[str, ...], reader: Reader) -> FoundEntity:
        known = {c.iri for c in reader.ontology.classes}
        is_a = reader.ontology.is_a
        new = [c for c in classes if c in known and not any(is_a(own, c) for own in entity.classes)]
        if not new:
            return entity
        kept = [c for c in entity.classes if not any(is_a(other, c) for other in new)]
        return FoundEntity(entity.name, (*new, *kept), entity.mentions)

    def relations(
        self, mentions: Sequence[FoundMention], entities: Sequence[FoundEntity], reader: Reader
    ) -> tuple[FoundRelation, ...]:
        """The facts that the passage states about the entities."""
        spans = [[self._named(mentions[i].span, mentions[i].text) for i in e.mentions] for e in entities]
        return self._relate(spans, entities, reader, _LEAST_CONFIDENCE)

    def _relate(
        self,
        spans: list[list[NamedSpan]],
        entities: Sequence[FoundEntity],
        reader: Reader,
        least_confidence: float,
    ) -> tuple[FoundRelation, ...]:
        places = {i: tuple(group) for i, group in enumerate(spans)}
        profiles = {i: profile_of(self._parse, group) for i, group in places.items()}
        references = References(self._parse, places, profiles)
        things = tuple(Thing(profiles[i], e.classes) for i, e in enumerate(entities))
        frames = (*self._frames, *self._lives(places, profiles))
        finder = RelationFinder(self._parse, reader.vocabulary, reader.cues, things, references, self._values)
        return finder.find(frames, least_confidence)

    def _lives(self, places: dict[int, tuple[NamedSpan, ...]], profiles: dict[int, Profile]) -> Iterator[Frame]:
        """Births and deaths in the parentheses after people's names."""
        for entity, spans in places.items():
            for span in spans if profiles[entity].is_a("person") == 1.0 else ():
                head = self._parse.head_of(span.first, span.last)
                sentence = self._parse.tokens[head].sentence
                born, died = life_dates(self._parse, self._values, span.last - 1)
                if born is not None:
                    yield Frame("bear", frozenset(), {"obj": (head,), "date": (born,)}, sentence, 0.85)
                if died is not None:
                    yield Frame("die", frozenset(), {"subj": (head,), "date": (died,)}, sentence, 0.85)


class PassageCache:
    """The parsed passages of late: the questions about one passage share one parse. For one thread only."""

    def __init__(self, max_characters: int = 400_000) -> None:
        self._max_characters = max_characters
        self._characters = 0
        self._passages: OrderedDict[str, Passage] = OrderedDict()

    def get(self, text: str) -> Passage:
        """The passage with this text, parsed now or remembered."""
        found = self._passages.get(text)
        if found is not None:
            self._passages.move_to_end(text)
            return found
        made = Passage(parse(text))
        self._passages[text] = made
        self._characters += len(text)
        while self._characters > self._max_characters and len(self._passages) > 1:
            forgotten, _ = self._passages.popitem(last=False)
            self._characters -= len(forgotten)
        return made


def _name(texts: tuple[str, ...]) -> str:
    """The fullest name among the mentions'; a country's own name when only its adjective is there."""
    plains = [plain(text) for text in texts]
    proper = [name for name in plains if name not in nationalities()] or [nationalities()[name] for name in plains]
    if all(name.lower() in countries() for name in proper):
        return max(proper, key=lambda name: (name == countries()[name.lower()], len(name)))
    return max(proper, key=lambda name: (len(name), -proper.index(name)))


def classes_of(profile: Profile, given: tuple[str, ...], reader: Reader) -> tuple[str, ...]:
    """The classes that a profile answers to, the most telling first and none that another one implies."""
    vocabulary = reader.vocabulary
    found: dict[str, None] = {}
    for noun in (*profile.told, *sorted(profile.nouns.difference(profile.told))):
        found.update(dict.fromkeys(vocabulary.classes_for(noun)))
    kinds = {iri for iri in given if not found or vocabulary.fit(profile.nouns, (), (iri,)) > 0.6}
    found.update(dict.fromkeys(sorted(kinds)))
    if not found and profile.nouns:
        found.update(dict.fromkeys(vocabulary.catch_all))
    return tuple(iri for iri in found if not any(other != iri and reader.ontology.is_a(other, iri) for other in found))
