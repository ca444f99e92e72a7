"""What a published graph gives the search index. Pure: values in, values out.

An entry has a text, whose vector is searched, and `targets`, what it leads to. Its position in the extraction's
segment of the index is counted from 0.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from knowledge.domain import Entity, Evidence, KnowledgeGraph, Relation, Span
from knowledge.ids import EntityId, digest_of
from knowledge.ontology import Ontology
from knowledge.ontology.names import words_of
from knowledge.search.kinds import EntryKind
from knowledge.search.names import name_key

MAX_TEXT_CHARACTERS = 2000  # of what is embedded; models read little more


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that can be found.

    `targets`: of an entity its id; of a passage the ids of the relations that it states; of a predicate its IRI.
    `span` is a passage's place in its document.
    """

    position: int
    kind: EntryKind
    text: str
    targets: tuple[str, ...]
    span: Span | None = None

    @property
    def digest(self) -> str:
        """Names the text: equal texts need one vector."""
        return digest_of(self.text)


@dataclass(frozen=True, slots=True)
class SegmentContent:
    """An extraction's entries in order of position, and by name (folded) the positions of the entities that bear it."""

    entries: tuple[Entry, ...]
    names: Mapping[str, tuple[int, ...]]

    def count(self, kind: EntryKind) -> int:
        """How many entries are of this kind."""
        return sum(entry.kind is kind for entry in self.entries)


def segment_content(graph: KnowledgeGraph, ontology: Ontology) -> SegmentContent:
    """The graph's entities, its evidence with the names of what it is about, and its predicates."""
    entities = {entity.id: entity for entity in graph.entities}
    known_texts = {embedding.entity_id: embedding.text for embedding in graph.embeddings}
    found: list[tuple[EntryKind, str, tuple[str, ...], Span | None]] = []
    names: defaultdict[str, list[int]] = defaultdict(list)
    for entity in graph.entities:
        for name in sorted({name_key(name) for name in (entity.label, *entity.aliases)} - {""}):
            names[name].append(len(found))
        text = known_texts.get(entity.id) or entity_text(entity, ontology)
        found.append((EntryKind.ENTITY, text, (entity.id,), None))
    for span, relations, evidence in _passages(graph):
        text = _passage_text(evidence, relations, entities)
        found.append((EntryKind.PASSAGE, text, tuple(relation.id for relation in relations), span))
    for iri in sorted({relation.predicate for relation in graph.relations}):
        found.extend((EntryKind.PREDICATE, text, (iri,), None) for text in predicate_texts(iri, ontology))
    entries = tuple(Entry(n, kind, text, targets, span) for n, (kind, text, targets, span) in enumerate(found))
    return SegmentContent(entries, {name: tuple(at) for name, at in sorted(names.items())})


def entity_text(entity: Entity, ontology: Ontology) -> str:
    """What an entity is embedded as when its extraction has no vector for it: its label and its classes."""
    found = (ontology.get_class(iri) for iri in entity.classes)
    classes = ", ".join(item.name for item in found if item)
    return (f"{entity.label} ({classes})" if classes else entity.label)[:MAX_TEXT_CHARACTERS]


def predicate_texts(iri: str, ontology: Ontology) -> tuple[str, ...]:
    """What people may call a predicate, the preferred first: its labels in words, else those of its IRI."""
    term = ontology.get_property(iri)
    labels = [label.text for label in term.labels] if term else []
    return tuple(dict.fromkeys(words_of(label) for label in labels or [iri]))


def _passages(graph: KnowledgeGraph) -> Iterator[tuple[Span, list[Relation], Evidence]]:
    """Each span that is evidence of something, in order, with the relations that it states."""
    found: defaultdict[Span, dict[str, Relation]] = defaultdict(dict)
    texts: dict[Span, Evidence] = {}
    for relation in graph.relations:
        for evidence in relation.evidence:
            texts.setdefault(evidence.span, evidence)
            found[evidence.span][relation.id] = relation
    for span in sorted(found):
        yield span, list(found[span].values()), texts[span]


def _passage_text(evidence: Evidence, relations: Sequence[Relation], entities: Mapping[EntityId, Entity]) -> str:
    """The passage; before it the names of its facts' ends that it does not spell out ("She" is nobody's name)."""
    ends = (end for relation in relations for end in (relation.subject_id, relation.object_id) if end is not None)
    labels = dict.fromkeys(entities[end].label for end in ends if end in entities)
    missing = [label for label in labels if label not in evidence.text]
    text = f"{'; '.join(missing)}: {evidence.text}" if missing else evidence.text
    return " ".join(text.split())[:MAX_TEXT_CHARACTERS]
