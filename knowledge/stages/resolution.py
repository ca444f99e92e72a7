"""Resolve: nodes that are one thing become one entity, facts that say the same become one relation."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

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
from knowledge.stages.confidence import UNKNOWN_MODEL, Calibration, Grounds, record_of
from knowledge.stages.identity import cluster
from knowledge.stages.names import folded_name
from knowledge.stages.validation import flag_violations

STAGE_VERSION = "3"


@dataclass(frozen=True, slots=True)
class GroundedGraph:
    """A graph whose facts have their extractor's claim for a confidence, and what speaks for each of them."""

    graph: KnowledgeGraph
    grounds: Mapping[RelationId, Grounds]

    def calibrated(self, calibration: Calibration) -> KnowledgeGraph:
        """The graph with each fact's confidence as the calibration has it."""
        # Many facts rest on equal grounds.
        probability = cache(calibration.probability)
        relations = (
            replace(relation, confidence=probability(self.grounds[relation.id])) for relation in self.graph.relations
        )
        return replace(self.graph, relations=tuple(relations))


def resolve(
    assembly: Assembly,
    document: Document,
    ontology: Ontology,
    ontology_id: OntologyId,
    extraction_id: ExtractionId,
    calibration: Calibration = UNKNOWN_MODEL,
) -> KnowledgeGraph:
    """The document's graph; ids are derived from the extraction and the findings."""
    return ground(assembly, document, ontology, ontology_id, extraction_id).calibrated(calibration)


def ground(
    assembly: Assembly,
    document: Document,
    ontology: Ontology,
    ontology_id: OntologyId,
    extraction_id: ExtractionId,
) -> GroundedGraph:
    """The document's graph, and what speaks for each of its facts."""
    clusters = cluster(assembly, ontology)
    entities, entity_of = _entities(assembly.nodes, clusters, document, extraction_id)
    mentions = {m.id: m for n, node in enumerate(assembly.nodes) for m in _mentions(node, entity_of[n], extraction_id)}
    stated = _stated(assembly.facts, entity_of, extraction_id)
    relations = _relations(stated, entity_of, document)
    embeddings = _embeddings(assembly.nodes, clusters, entities)
    graph = KnowledgeGraph(
        extraction_id,
        document.id,
        ontology_id,
        tuple(sorted(entities, key=lambda entity: entity.id)),
        tuple(sorted(mentions.values(), key=lambda mention: mention.id)),
        tuple(sorted(relations, key=lambda relation: relation.id)),
        tuple(sorted(embeddings, key=lambda embedding: embedding.entity_id)),
    )
    graph = flag_violations(graph, ontology)
    record = record_of(len(assembly.facts), assembly.failed)
    return GroundedGraph(graph, {r.id: _grounds(stated[r.id], record, bool(r.flags)) for r in graph.relations})


def _entities(
    nodes: Sequence[Node], clusters: list[list[int]], document: Document, extraction_id: ExtractionId
) -> tuple[list[Entity], dict[int, EntityId]]:
    entities: list[Entity] = []
    entity_of: dict[int, EntityId] = {}
    same_key: Counter[tuple[str, ...]] = Counter()
    namesakes: Counter[str] = Counter()
    for members in clusters:
        names = _names(nodes, members, document)
        # The fullest name by words that more than one passage uses, else the fullest; ties go to the more frequent.
        label = max(names, key=lambda name: (len(name.split()), names[name], len(name), name))
        classes = tuple(dict.fromkeys(iri for n in members for iri in nodes[n].classes))
        key = (label, *sorted(classes))
        entity_id = EntityId.derive(extraction_id, *key, str(same_key[key]))
        same_key[key] += 1
        said = {name for n in members for name in (*names, *(m.text for m in nodes[n].mentions))}
        namesakes[folded_name(label)] += 1
        if namesakes[folded_name(label)] > 1:
            # People cannot see ids: further things of a name are numbered, and have the bare name as an alias.
            label = f"{label} ({namesakes[folded_name(label)]})"
        entities.append(Entity(entity_id, label, classes, tuple(sorted(said - {label}))))
        entity_of.update(dict.fromkeys(members, entity_id))
    return entities, entity_of


def _names(nodes: Sequence[Node], members: list[int], document: Document) -> Counter[str]:
    """How many passages use each name for a thing, of the names that the document has; else its mentions."""
    names = Counter(nodes[n].name for n in members if nodes[n].name in document.text)
    return names or Counter(m.text for n in members for m in nodes[n].mentions)


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


def _stated(
    facts: Sequence[Fact], entity_of: dict[int, EntityId], extraction_id: ExtractionId
) -> dict[RelationId, list[Fact]]:
    """The facts that say the same, by the id of what they say."""
    same: defaultdict[RelationId, list[Fact]] = defaultdict(list)
    for fact in facts:
        same[_relation_id(fact, entity_of, extraction_id)].append(fact)
    return same


def _relations(
    stated: Mapping[RelationId, Sequence[Fact]], entity_of: dict[int, EntityId], document: Document
) -> list[Relation]:
    relations: list[Relation] = []
    for relation_id, facts in stated.items():
        first = facts[0]
        evidence = {e.id: e for fact in facts for e in _evidence(fact, relation_id, document)}
        relations.append(
            Relation(
                relation_id,
                entity_of[first.subject],
                first.predicate,
                None if first.object is None else entity_of[first.object],
                first.literal,
                max(fact.claim for fact in facts),
                tuple(sorted(evidence.values(), key=lambda e: e.id)),
            )
        )
    return relations


def _grounds(stated: Sequence[Fact], record: float, flagged: bool) -> Grounds:
    """Those of the best statement. A sentence read twice, because passages overlap, says it once."""
    best = max(stated, key=lambda fact: (fact.support, fact.claim))
    places = {span for fact in stated for span in fact.places}
    return Grounds(best.claim, best.support, max(1, len(places)), record, flagged)


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
