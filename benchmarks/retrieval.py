"""How fast a large graph is searched, beside pgvector alone on the same rows, and what its index takes.

    python benchmarks/retrieval.py [--entities 100000] [--relations 500000] [--documents 100] [--questions 300] [--json]

Publishes an invented graph in a PostgreSQL of its own, indexes it with vectors made from words (no model: only the
speed of the search is measured here), builds the HNSW index over it as an administrator would after a bulk load, and
asks questions made from random facts. A small organisation lies beside the large one in the same tables.

    p50_ms, p95_ms         a whole retrieval: names, vectors of entities and evidence, words, neighbourhood, fusion
    cpu_ms                 what client and server compute for a question: less than p50_ms only by what they wait for
    pgvector_p95_ms        the ten nearest vectors by the same HNSW index, without row security and without the rest
    recall_large/small     the share of the exact ten nearest that the search finds, in either organisation
    recall_small_hnsw      the same for the small one if the shared HNSW index alone were asked
    build_seconds, index_mb, build_rss_mb    the HNSW index over all vectors: time, size, peak memory of the builder
    insert_ms              an entry added when the index is there, everything included
"""

import argparse
import asyncio
import hashlib
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import psycopg
from gold_graphs import publish_graph, scratch_server
from sqlalchemy import text

from knowledge.domain import Document, Entity, Evidence, Extractor, KnowledgeGraph, Relation, Span
from knowledge.ids import ChunkId, EntityId, EvidenceId, ExtractionId, OrganizationId, RelationId
from knowledge.ontology import load_ontology
from knowledge.ports import EmbeddedTexts
from knowledge.search.embedding import EmbeddingService, Vector
from knowledge.search.indexing import Indexer
from knowledge.search.kinds import EntryKind
from knowledge.search.retrieval import Retriever
from knowledge.search.words import words
from tables.documents import OntologySource
from tables.schema import upgrade
from tables.search_index import SearchIndexStore
from tables.search_view import OrganizationSearch
from tables.session import Database, create_database

_LARGE, _SMALL = OrganizationId("large"), OrganizationId("small")
_DIMENSIONS = 384
_SMALL_ENTITIES = 300
_FACTS_A_PASSAGE = 5
_MADE = Extractor("invented", "none")
_SYLLABLE_TEXT = "ba ke li mo nu ra se ti vo za del fin gor hal jun kam lor mer nov pel quin ros sal tor van wil"
_PREDICATE_TEXT = """
director author capital employer spouse founder owner designer composer publisher creator sponsor residence
nationality birthplace deathplace language currency religion successor predecessor student teacher patron rival
"""
_SYLLABLES, _PREDICATES = _SYLLABLE_TEXT.split(), _PREDICATE_TEXT.split()
_KINDS = ("entity", "passage")
_HNSW = {kind: f"hnsw_search_entry_{kind}_{_DIMENSIONS}" for kind in _KINDS}


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
            self._directions[word] = np.random.default_rng(seed).standard_normal(_DIMENSIONS).astype("float32")
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


async def measure(entities: int, relations: int, documents: int, questions: int, seed: int) -> dict[str, object]:
    """The figures that the module's docstring lists."""
    chance = random.Random(seed)
    with scratch_server() as server:
        url = server.get_uri()
        upgrade(url)
        database = create_database(url)
        embedding = EmbeddingService(HashedWords())
        for name in _HNSW.values():
            _execute(url, f"DROP INDEX knowledge.{name}")
        asked: list[str] = []
        published = time.perf_counter()
        for n in range(documents):
            made = invented_graph(_LARGE, f"d{n}", entities // documents, relations // documents, chance)
            publish_graph(database, *made)
            asked += _questions(made[2], questions // documents + 1, chance)
            _tell(f"published {n + 1} of {documents} documents")
        publish_graph(database, *invented_graph(_SMALL, "s", _SMALL_ENTITIES, _SMALL_ENTITIES * 5, chance))
        indexed = time.perf_counter()
        reports = [await Indexer(SearchIndexStore(database, who), embedding).index() for who in (_LARGE, _SMALL)]
        built = time.perf_counter()
        _tell(f"indexed {reports[0].entries} entries; building the HNSW index")
        figures = {
            "publish_seconds": round(indexed - published, 1),
            "entries": reports[0].entries,
            "index_seconds": round(built - indexed, 1),
            **_build(url),
        }
        _tell("asking")
        figures |= await _asked(database, embedding, asked[:questions])
        figures |= await _recall(database, embedding, asked, chance)
        figures |= await _pgvector(url, embedding, asked[:questions])
        figures["insert_ms"] = await _insertion(database, embedding, chance)
        database.close()
    return {"entities": entities, "relations": relations, "questions": questions, **figures}


def _questions(graph: KnowledgeGraph, number: int, chance: random.Random) -> list[str]:
    labels = {entity.id: entity.label for entity in graph.entities}
    facts = chance.sample(graph.relations, number)
    return [f"What is the {f.predicate.removeprefix('urn:i:')} of {labels[f.subject_id]}?" for f in facts]


def _build(url: str) -> dict[str, object]:
    """What building the HNSW indexes over all vectors takes."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET maintenance_work_mem = '1GB'")
        connection.execute("SET max_parallel_maintenance_workers = 1")
        started = time.perf_counter()
        for kind, name in _HNSW.items():
            created = (
                f"CREATE INDEX {name} ON knowledge.search_entry USING hnsw ((vector::halfvec({_DIMENSIONS})) "
                f"halfvec_cosine_ops) WHERE dimensions = {_DIMENSIONS} AND kind = '{kind}'"
            )
            connection.execute(created.encode())
        seconds = time.perf_counter() - started
        peak = _peak_rss_mb(connection.info.backend_pid)
        sizes = (connection.execute("SELECT pg_relation_size(%s)", (f"knowledge.{n}",)) for n in _HNSW.values())
        size = sum(float(row[0]) for found in sizes for row in found)
        connection.execute("VACUUM ANALYZE")
    return {"build_seconds": round(seconds, 1), "index_mb": round(size / 1e6, 1), "build_rss_mb": peak}


def _peak_rss_mb(pid: int) -> float | None:
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return None
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return round(int(line.split()[1]) / 1000, 1)


async def _asked(database: Database, embedding: EmbeddingService, questions: Sequence[str]) -> dict[str, object]:
    retriever = Retriever(OrganizationSearch(database, _LARGE), embedding)
    for question in questions[:20]:
        await retriever.find(question)
    cpu = _cpu_seconds(database)
    seconds: list[float] = []
    parts: dict[str, list[float]] = {}
    right = 0
    for question in questions:
        started = time.perf_counter()
        found = await retriever.find(question)
        seconds.append(time.perf_counter() - started)
        right += bool(found.facts) and found.facts[0].fit == 1.0
        for name, spent in found.milliseconds.items():
            parts.setdefault(name, []).append(spent)
    return {
        "p50_ms": _quantile(seconds, 0.5),
        "p95_ms": _quantile(seconds, 0.95),
        "cpu_ms": round(1000 * (_cpu_seconds(database) - cpu) / len(questions), 2),
        "load_average": round(os.getloadavg()[0], 1),
        "parts_p50_ms": {name: round(statistics.median(spent), 2) for name, spent in parts.items()},
        "first_fits": round(right / len(questions), 3),
    }


def _cpu_seconds(database: Database) -> float:
    """What this process and its connections' servers have computed so far."""
    with database.operator_session() as session:
        pids = session.scalars(text("SELECT pid FROM pg_stat_activity WHERE application_name = 'knowledge'")).all()
    times = [psutil.Process(pid).cpu_times() for pid in (os.getpid(), *pids)]
    return sum(found.user + found.system for found in times)


async def _recall(
    database: Database, embedding: EmbeddingService, questions: Sequence[str], chance: random.Random
) -> dict[str, object]:
    vectors = await embedding.embed_question(*chance.sample(questions, min(100, len(questions))))

    def recall(who: OrganizationId, exact: bool | None) -> float:
        with OrganizationSearch(database, who).view() as view:
            shares: list[float] = []
            for vector in vectors:
                wanted = view.nearest(EntryKind.PASSAGE, vector, embedding.model, 10, exact=True)
                found = view.nearest(EntryKind.PASSAGE, vector, embedding.model, 10, exact=exact)
                shares.append(len({w.text for w in wanted} & {f.text for f in found}) / max(1, len(wanted)))
        return round(statistics.mean(shares), 4)

    return {
        "recall_large": recall(_LARGE, None),
        "recall_small": recall(_SMALL, None),
        "recall_small_hnsw": recall(_SMALL, False),
    }


async def _pgvector(url: str, embedding: EmbeddingService, questions: Sequence[str]) -> dict[str, object]:
    vectors = await embedding.embed_question(*questions)
    query = (
        f"SELECT id FROM knowledge.search_entry WHERE dimensions = {_DIMENSIONS} AND kind = 'passage' "
        f"ORDER BY (vector::halfvec({_DIMENSIONS})) <=> CAST(%s AS halfvec({_DIMENSIONS})) LIMIT 10"
    )
    seconds: list[float] = []
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET hnsw.ef_search = 100")
        for vector in [*vectors[:20], *vectors]:
            started = time.perf_counter()
            connection.execute(query.encode(), (str(list(vector)),)).fetchall()
            seconds.append(time.perf_counter() - started)
    return {"pgvector_p50_ms": _quantile(seconds[20:], 0.5), "pgvector_p95_ms": _quantile(seconds[20:], 0.95)}


async def _insertion(database: Database, embedding: EmbeddingService, chance: random.Random) -> float:
    """Milliseconds an entry, for one more document of 200 entities."""
    publish_graph(database, *invented_graph(_LARGE, "late", 200, 1000, chance))
    started = time.perf_counter()
    report = await Indexer(SearchIndexStore(database, _LARGE), embedding).index()
    return round(1000 * (time.perf_counter() - started) / report.entries, 2)


def _quantile(seconds: Sequence[float], share: float) -> float:
    return round(1000 * sorted(seconds)[min(len(seconds) - 1, int(len(seconds) * share))], 2)


def _execute(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def _tell(what: str) -> None:
    print(what, file=sys.stderr, flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--entities", type=int, default=100_000)
    parser.add_argument("--relations", type=int, default=500_000)
    parser.add_argument("--documents", type=int, default=100)
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    figures = asyncio.run(measure(given.entities, given.relations, given.documents, given.questions, given.seed))
    if given.json:
        print(json.dumps({**figures, "goals": {"p95_ms": 50, "pgvector_p95_ms": 20}}))
        return
    for name, value in figures.items():
        print(f"{name:20}{value}")


if __name__ == "__main__":
    main()
