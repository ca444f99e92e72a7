"""Which entities of annotated documents are linked across documents: by rules alone, and with a model that is right.

    python benchmarks/links.py DOCUMENTS.jsonl [--questions 1000] [--json]

Publishes the annotated graphs one after the other, as an ideal extraction would, with the embedded model's vectors, in
a PostgreSQL of its own. Two annotated entities of one type count as one thing when one is called like the other, or
both like a third. The model answers from that; a link of any other two is wrong.
"""

import argparse
import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

from gold_graphs import GoldGraph, publish_graph, read_gold, scratch_server

from knowledge.domain import EntityEmbedding, Extractor, KnowledgeGraph, Usage
from knowledge.doubtful_links import DoubtfulPair, Verdict, Verdicts
from knowledge.ids import EntityId, ExecutionId, OrganizationId
from knowledge.linking import LinkStatus
from knowledge.models.embedded import EmbeddedEmbeddingModel
from knowledge.ontology import load_ontology
from knowledge.ports import EmbeddingModel
from knowledge.stages.names import folded_name
from tables.ledger import Ledger
from tables.links import link_entities, load_links
from tables.schema import upgrade
from tables.session import Database, create_database
from tasks.activities import ActivityRecorder
from tasks.link_questions import LinkQuestions

_ORGANIZATION = OrganizationId("benchmark")
Pair = frozenset[EntityId]


@dataclass(slots=True)
class KnowingModel:
    """Says of each pair what the annotation says, and counts."""

    same: set[Pair]
    by: Extractor = field(default_factory=lambda: Extractor("chat", "annotation"))
    questions: int = 0
    pairs: list[Pair] = field(default_factory=list[Pair])

    async def decide(self, pairs: Sequence[DoubtfulPair]) -> Verdicts:
        """The truth, citing the names."""
        self.questions += 1
        self.pairs.extend(frozenset((pair.one, pair.other)) for pair in pairs)
        said = (
            Verdict(frozenset((p.one, p.other)) in self.same, "annotated", (p.one_lines[0], p.other_lines[0]))
            for p in pairs
        )
        return Verdicts(tuple(said), Usage(model_calls=1))


def same_things(gold: Sequence[GoldGraph]) -> set[Pair]:
    """The pairs of entities of different documents that are one thing."""
    parent: dict[EntityId, EntityId] = {}

    def root(one: EntityId) -> EntityId:
        while parent.setdefault(one, one) != one:
            one = parent[one]
        return one

    named: defaultdict[tuple[str, str], list[EntityId]] = defaultdict(list)
    also: defaultdict[tuple[str, str], list[EntityId]] = defaultdict(list)
    document_of: dict[EntityId, str] = {}
    for one in gold:
        for entity in one.graph.entities:
            document_of[entity.id] = one.document.id
            for kind in entity.classes[:1]:
                named[kind, folded_name(entity.label)].append(entity.id)
                for alias in entity.aliases:
                    also[kind, folded_name(alias)].append(entity.id)
    for key, ids in named.items():
        for other in (*ids[1:], *also[key]):
            parent[root(other)] = root(ids[0])
    groups: defaultdict[EntityId, list[EntityId]] = defaultdict(list)
    for entity_id in document_of:
        groups[root(entity_id)].append(entity_id)
    pairs = (pair for members in groups.values() for pair in combinations(members, 2))
    return {frozenset(pair) for pair in pairs if document_of[pair[0]] != document_of[pair[1]]}


async def embedded(graph: KnowledgeGraph, names: Mapping[str, str], model: EmbeddingModel) -> KnowledgeGraph:
    """The graph with a vector for each entity, made from the text that the pipeline takes."""
    texts = [f"{e.label} ({names[e.classes[0]]})" if e.classes else e.label for e in graph.entities]
    vectors = (await model.embed(texts)).vectors
    found = (
        EntityEmbedding(entity.id, model.model, said, vector)
        for entity, said, vector in zip(graph.entities, texts, vectors, strict=True)
    )
    return replace(graph, embeddings=tuple(found))


async def measure(database: Database, gold: Sequence[GoldGraph], questions: int) -> dict[str, object]:
    """What is linked, right and wrong, with so many questions for each document, and what it took."""
    model, vectors = KnowingModel(same_things(gold)), EmbeddedEmbeddingModel()
    ledger = Ledger(database, _ORGANIZATION)
    run = ledger.open_execution(None, document_name="links", parameters={}, pid=0, host="benchmark")
    started = time.perf_counter()
    async with ActivityRecorder(ledger, run.id) as recorder:
        for one in gold:
            await _link(database, one, vectors, recorder, run.id, model, questions)
    accepted = {
        frozenset((link.entity_id, link.other_id)) for link in load_links(database, _ORGANIZATION, LinkStatus.ACCEPTED)
    }
    right = len(accepted & model.same)
    return {
        "questions_for_each_document": questions,
        "questions": model.questions,
        "pairs_asked": len(model.pairs),
        "of_them_one": len(model.same & set(model.pairs)),
        "links": len(accepted),
        "right": right,
        "annotated": len(model.same),
        "precision": round(right / len(accepted), 4) if accepted else None,
        "recall": round(right / len(model.same), 4) if model.same else None,
        "seconds": round(time.perf_counter() - started, 2),
    }


async def _link(
    database: Database,
    one: GoldGraph,
    vectors: EmbeddingModel,
    recorder: ActivityRecorder,
    execution_id: ExecutionId,
    model: KnowingModel,
    questions: int,
) -> None:
    """Publishes a graph and links it, as a run does."""

    async def held() -> None:
        """Nobody else works on this."""

    names = {iri: label for label, iri in one.line["type_iris"].items()}
    graph = await embedded(one.graph, names, vectors)
    publish_graph(database, one.document, one.ontology, graph)
    link_entities(database, _ORGANIZATION, graph.extraction_id, execution_id)
    if questions:
        asking = LinkQuestions(database, _ORGANIZATION, model, questions, recorder, held)
        ontology = load_ontology(one.ontology.content, "gold.ttl")
        await asking.decide(graph.extraction_id, ontology, execution_id)


def main() -> None:
    """Rules alone, then with the model, each in a database of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", type=Path)
    parser.add_argument("--questions", type=int, action="append", default=[], help="for each document; may be repeated")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    gold = read_gold(given.documents, _ORGANIZATION)
    rows: list[dict[str, object]] = []
    for questions in (0, *(given.questions or [2])):
        with scratch_server() as server:
            url = server.get_uri()
            upgrade(url)
            rows.append(asyncio.run(measure(create_database(url), gold, questions)))
    print(json.dumps({"documents": len(gold), "rows": rows}, indent=None if given.json else 2))


if __name__ == "__main__":
    main()
