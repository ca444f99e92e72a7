"""Invented graphs of any size, and vectors made from words alone: for measuring what no model has to answer."""

import hashlib
import random
from collections.abc import Sequence
from typing import Any

import numpy as np

from knowledge.domain import Document, Entity, Evidence, Extractor, KnowledgeGraph, Relation, Span
from knowledge.ids import ChunkId, EntityId, EvidenceId, ExtractionId, OrganizationId, RelationId
from knowledge.ontology import load_ontology
from knowledge.ports import EmbeddedTexts
from knowledge.search.embedding import Vector
from knowledge.search.words import words
from tables.documents import OntologySource

DIMENSIONS = 384
_FACTS_A_PASSAGE = 5
_MADE = Extractor("invented", "none")
_SYLLABLE_TEXT = "ba ke li mo nu ra se ti vo za del fin gor hal jun kam lor mer nov pel quin ros sal tor van wil"
_PREDICATE_TEXT = """
director author capital employer spouse founder owner designer composer publisher creator sponsor residence
nationality birthplace deathplace language currency religion successor predecessor student teacher patron rival
"""
_SYLLABLES, _PREDICATES = _SYLLABLE_TEXT.split(), _PREDICATE_TEXT.split()


class HashedWords:
    """An embedding model of words alone: each word a random direction, a text their sum."""

    model = "hashed-words 1"

    def __init__(self) -> None:
        self._directions: dict[str, Any] = {}

    async def embed(self, texts: Sequence[str]) -> EmbeddedTexts:
        """n_texts × 384, L2-normalised."""
        return EmbeddedTexts(tuple(map(self._vector, texts)))

    def _vector(self, text: str) -> Vector:
        total = np.sum([self._direction(word) for word in words(text) or ("",)], axis=0)
        return tuple((total / np.linalg.norm(total)).astype("float32").tolist())

    def _direction(self, word: str) -> Any:
        if word not in self._directions:
            seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8])
            self._directions[word] = np.random.default_rng(seed).standard_normal(DIMENSIONS).astype("float32")
        return self._directions[word]


def invented_graph(
    organization_id: OrganizationId, name: str, entities: int, relations: int, chance: random.Random
) -> tuple[Document, OntologySource, KnowledgeGraph]:
    """A document of sentences with five facts each about one entity, its ontology, and its graph."""
    names = [_name(chance) for _ in range(entities)]
    facts = [
        (chance.randrange(entities), chance.choice(_PREDICATES), chance.randrange(entities)) for _ in range(relations)
    ]
    facts.sort()
    passages = [facts[n : n + _FACTS_A_PASSAGE] for n in range(0, len(facts), _FACTS_A_PASSAGE)]
    sentences = ["; ".join(f"the {p} of {names[s]} is {names[o]}" for s, p, o in passage) + "." for passage in passages]
    document = Document.of(organization_id, name, "\n".join(sentences))
    content = _ontology().encode()
    ontology = OntologySource.of(organization_id, "invented", ".ttl", content, load_ontology(content, "i.ttl").digest)
    extraction = ExtractionId.derive(document.id, "invented")
    ids = [EntityId.derive(extraction, str(n)) for n in range(entities)]
    chunk = ChunkId.derive(document.id, "0")
    found: dict[RelationId, Relation] = {}
    start = 0
    for passage, sentence in zip(passages, sentences, strict=True):
        span = Span(start, start + len(sentence))
        start = span.end + 1
        for s, p, o in passage:
            relation_id = RelationId.derive(extraction, str(s), p, str(o))
            said = Evidence(EvidenceId.derive(relation_id), span, sentence, chunk, _MADE)
            found[relation_id] = Relation(relation_id, ids[s], f"urn:i:{p}", ids[o], None, 0.9, (said,))
    graph = KnowledgeGraph(
        extraction,
        document.id,
        ontology.id,
        entities=tuple(sorted((Entity(i, n, ("urn:i:Thing",)) for i, n in zip(ids, names, strict=True)), key=_id)),
        relations=tuple(sorted(found.values(), key=_id)),
    )
    return document, ontology, graph


def _id(item: Entity | Relation) -> str:
    return item.id


def _name(chance: random.Random) -> str:
    parts = ["".join(chance.choices(_SYLLABLES, k=chance.randint(2, 3))).capitalize() for _ in range(2)]
    return " ".join(parts)


def _ontology() -> str:
    lines = ["@prefix owl: <http://www.w3.org/2002/07/owl#> . @prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> ."]
    lines.append('<urn:i:Thing> a owl:Class ; rdfs:label "thing" .')
    lines += [f'<urn:i:{name}> a owl:ObjectProperty ; rdfs:label "{name}" .' for name in _PREDICATES]
    return "\n".join(lines)


def questions_about(graph: KnowledgeGraph, number: int, chance: random.Random) -> list[str]:
    """So many questions, each made from a fact of the graph."""
    labels = {entity.id: entity.label for entity in graph.entities}
    facts = chance.sample(graph.relations, number)
    return [f"What is the {f.predicate.removeprefix('urn:i:')} of {labels[f.subject_id]}?" for f in facts]
