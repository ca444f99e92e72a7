"""Resolve: nodes that are one thing become one entity; names and classes decide, vectors do not.

Rules, each only between nodes whose classes are compatible (one shared, or one above the other, or none known):
the same name but for case, article, accents and punctuation; a person's surname, when exactly one fuller name
in the document ends with it; an acronym, when exactly one name in the document has those initials.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import lru_cache

from knowledge.domain import (
    Document,
    Entity,
    EntityEmbedding,
    Evidence,
    KnowledgeGraph,
    Mention,
    Relation,
)
from knowledge.ids import EntityId, EvidenceId, ExtractionId, MentionId, OntologyId, RelationId
from knowledge.ontology import Ontology
from knowledge.stages.assembly import Assembly, Fact, Node

STAGE_VERSION = "1"
_PERSON_LABELS = {"person", "human", "human being", "people", "individual"}
_SMALL_WORDS = {
    "of",
    "the",
    "and",
    "for",
    "in",
    "on",
    "de",
    "la",
    "le",
    "du",
    "des",
    "und",
    "für",
    "der",
    "die",
}


def resolve(
    assembly: Assembly,
    document: Document,
    ontology: Ontology,
    ontology_id: OntologyId,
    extraction_id: ExtractionId,
) -> KnowledgeGraph:
    """The document's graph; ids are derived from the extraction and the findings."""
    clusters = _cluster(assembly.nodes, ontology)
    entities, entity_of = _entities(assembly.nodes, clusters, extraction_id)
    mentions = {m.id: m for n, node in enumerate(assembly.nodes) for m in _mentions(node, entity_of[n], extraction_id)}
    relations = _relations(assembly.facts, entity_of, document, extraction_id)
    embeddings = _embeddings(assembly.nodes, clusters, entities)
    return KnowledgeGraph(
        extraction_id,
        document.id,
        ontology_id,
        tuple(sorted(entities, key=lambda entity: entity.id)),
        tuple(sorted(mentions.values(), key=lambda mention: mention.id)),
        tuple(sorted(relations, key=lambda relation: relation.id)),
        tuple(sorted(embeddings, key=lambda embedding: embedding.entity_id)),
    )


@lru_cache(maxsize=100_000)
def folded_name(name: str) -> str:
    """A name without case, accents, punctuation and leading article."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    plain = re.sub(r"[’'](?=s\b)", "", plain.casefold())
    plain = re.sub(r"[\W_]+", " ", plain).strip()
    return re.sub(r"^(?:the|a|an) (?=.)", "", plain) or name.casefold()


class _Clusters:
    """Disjoint sets of nodes, each with the union of its members' classes."""

    def __init__(self, nodes: Sequence[Node], ontology: Ontology) -> None:
        self._parent = list(range(len(nodes)))
        self._classes = [set(node.classes) for node in nodes]
        self._ontology = ontology

    def root(self, n: int) -> int:
        while self._parent[n] != n:
            self._parent[n] = self._parent[self._parent[n]]
            n = self._parent[n]
        return n

    def classes(self, n: int) -> set[str]:
        return self._classes[self.root(n)]

    def compatible(self, a: int, b: int) -> bool:
        mine, theirs = self.classes(a), self.classes(b)
        if not mine or not theirs or mine & theirs:
            return True
        is_a = self._ontology.is_a
        return any(is_a(x, y) or is_a(y, x) for x in mine for y in theirs)

    def join(self, a: int, b: int) -> None:
        low, high = sorted((self.root(a), self.root(b)))
        if low != high:
            self._parent[high] = low
            self._classes[low] |= self._classes[high]


def _cluster(nodes: Sequence[Node], ontology: Ontology) -> list[list[int]]:
    clusters = _Clusters(nodes, ontology)
    by_name: dict[str, list[int]] = defaultdict(list)
    for n, node in enumerate(nodes):
        _join_first_compatible(clusters, n, by_name[folded_name(node.name)])
        by_name[folded_name(node.name)].append(n)
    _join_short_forms(clusters, by_name, _person_surnames(by_name, clusters, ontology))
    _join_short_forms(clusters, by_name, _acronyms(nodes, by_name))
    members: dict[int, list[int]] = defaultdict(list)
    for n in range(len(nodes)):
        members[clusters.root(n)].append(n)
    return [members[root] for root in sorted(members)]


def _join_first_compatible(clusters: _Clusters, n: int, others: Sequence[int]) -> None:
    """Nodes that know their classes choose first among those that share one."""
    candidates = [other for other in others if clusters.compatible(n, other)]
    if candidates:
        shared = [other for other in candidates if clusters.classes(other) & clusters.classes(n)]
        clusters.join(n, (shared or candidates)[0])


def _join_short_forms(clusters: _Clusters, by_name: dict[str, list[int]], full_names: dict[str, set[str]]) -> None:
    """Joins each short form's nodes to the one full name, if there is exactly one to choose."""
    for short, fulls in sorted(full_names.items()):
        if len(fulls) != 1 or short in fulls:
            continue
        for n in by_name[short]:
            targets = {clusters.root(m) for m in by_name[next(iter(fulls))]}
            shared = [m for m in targets if clusters.classes(m) and clusters.compatible(n, m)]
            if len(shared) == 1 and clusters.classes(n):
                clusters.join(n, shared[0])


def _person_surnames(by_name: dict[str, list[int]], clusters: _Clusters, ontology: Ontology) -> dict[str, set[str]]:
    people = {name for name, nodes in by_name.items() if any(_is_person(clusters.classes(n), ontology) for n in nodes)}
    surnames: dict[str, set[str]] = defaultdict(set)
    for name in people:
        words = name.split()
        if len(words) > 1 and words[-1] in people:
            surnames[words[-1]].add(name)
    return surnames


def _is_person(classes: set[str], ontology: Ontology) -> bool:
    lineage = {iri for own in classes for iri in (own, *ontology.ancestors(own))}
    found = (ontology.get_class(iri) for iri in lineage)
    return any(label.text.casefold() in _PERSON_LABELS for item in found if item for label in item.labels)


def _acronyms(nodes: Sequence[Node], by_name: dict[str, list[int]]) -> dict[str, set[str]]:
    names = {node.name.replace(".", "") for node in nodes}
    short = {folded_name(name) for name in names if 2 <= len(name) <= 8 and name.isalpha() and name.isupper()}
    long_forms: dict[str, set[str]] = defaultdict(set)
    for name in by_name:
        words = name.split()
        for initials in {
            "".join(word[0] for word in words),
            "".join(word[0] for word in words if word not in _SMALL_WORDS),
        }:
            if len(words) > 1 and initials in short and initials in by_name:
                long_forms[initials].add(name)
    return long_forms


def _entities(
    nodes: Sequence[Node], clusters: list[list[int]], extraction_id: ExtractionId
) -> tuple[list[Entity], dict[int, EntityId]]:
    entities: list[Entity] = []
    entity_of: dict[int, EntityId] = {}
    same_key: Counter[tuple[str, ...]] = Counter()
    for members in clusters:
        label = _label(nodes, members)
        classes = tuple(dict.fromkeys(iri for n in members for iri in nodes[n].classes))
        key = (label, *sorted(classes))
        entity_id = EntityId.derive(extraction_id, *key, str(same_key[key]))
        same_key[key] += 1
        names = {nodes[n].name for n in members} | {m.text for n in members for m in nodes[n].mentions}
        entities.append(Entity(entity_id, label, classes, tuple(sorted(names - {label}))))
        entity_of.update(dict.fromkeys(members, entity_id))
    return entities, entity_of


def _label(nodes: Sequence[Node], members: list[int]) -> str:
    """The fullest name by words that more than one chunk uses, else the fullest; ties go to the more frequent."""
    counts = Counter(nodes[n].name for n in members)
    return max(counts, key=lambda name: (len(name.split()), counts[name], len(name), name))


def _mentions(node: Node, entity_id: EntityId, extraction_id: ExtractionId) -> list[Mention]:
    return [
        Mention(
            MentionId.derive(extraction_id, entity_id, str(m.span.start), str(m.span.end)),
            m.span,
            m.text,
            entity_id,
            m.chunk.id,
            m.extractor,
        )
        for m in node.mentions
    ]


def _relations(
    facts: Sequence[Fact], entity_of: dict[int, EntityId], document: Document, extraction_id: ExtractionId
) -> list[Relation]:
    same: dict[RelationId, list[Fact]] = defaultdict(list)
    for fact in facts:
        same[_relation_id(fact, entity_of, extraction_id)].append(fact)
    relations: list[Relation] = []
    for relation_id, stated in same.items():
        first = stated[0]
        evidence = {e.id: e for fact in stated for e in _evidence(fact, relation_id, document)}
        relations.append(
            Relation(
                relation_id,
                entity_of[first.subject],
                first.predicate,
                None if first.object is None else entity_of[first.object],
                first.literal,
                max(fact.confidence for fact in stated),
                tuple(sorted(evidence.values(), key=lambda e: e.id)),
            )
        )
    return relations


def _relation_id(fact: Fact, entity_of: dict[int, EntityId], extraction_id: ExtractionId) -> RelationId:
    if fact.literal is not None:
        target = ("literal", fact.literal.lexical, fact.literal.datatype)
    else:
        assert fact.object is not None
        target = ("entity", entity_of[fact.object])
    return RelationId.derive(extraction_id, entity_of[fact.subject], fact.predicate, *target)


def _evidence(fact: Fact, relation_id: RelationId, document: Document) -> list[Evidence]:
    return [
        Evidence(
            EvidenceId.derive(relation_id, str(e.span.start), str(e.span.end)),
            e.span,
            document.text[e.span.start : e.span.end],
            e.chunk.id,
            e.extractor,
        )
        for e in fact.evidence
    ]


def _embeddings(nodes: Sequence[Node], clusters: list[list[int]], entities: list[Entity]) -> list[EntityEmbedding]:
    """Each entity's vector is that of the first node that bears its label."""
    embeddings: list[EntityEmbedding] = []
    for members, entity in zip(clusters, entities, strict=True):
        for n in sorted(members, key=lambda n: nodes[n].name != entity.label):
            vector = nodes[n].vector
            if vector is not None:
                embeddings.append(EntityEmbedding(entity.id, nodes[n].vector_model, nodes[n].vector_text, vector))
                break
    return embeddings
