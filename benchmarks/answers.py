"""How well questions are answered from a graph: retrieval, extractive answers, and declining what is not in it.

    python benchmarks/answers.py documents.jsonl [--hold-out 10] [--limit N] [--seed 1] [--show 10] [--json]

Publishes the annotated graphs of a documents.jsonl (see gold_graphs.py) in a PostgreSQL of its own, all in one
organisation, with the embedded models; every tenth document stays out, as the source of unknown subjects. Asks
questions made from the gold facts and questions about facts that are not there. No key, no network.

    first_10, first        the share of answerable questions of which a fact that answers is among the first ten
                           facts retrieved, and is the first
    all_10                 the share of all answering facts (at most ten a question) that are among the first ten
    contains, quoted       the extractive answer has the object, in any of its forms; its quotations alone have it
    contains_all           the share of all objects that the answers have
    declined               the share of unanswerable questions that are declined, by kind
    calibration            whether the confidence in an answer is a frequency: as shipped, and held out, where each half
                           of the subjects is judged by a fit to the other; beside the uncalibrated product of its parts
    dropped_sentences      sentences of answers that were dropped because what they cite does not back them
"""

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from answer_calibration import Judged, agreement, cross_fitted, fitted, is_of_second_half
from gold_graphs import publish_gold, read_gold, scratch_server
from gold_questions import Question, answerable, unanswerable

from knowledge.answers.answer import Answer
from knowledge.answers.asking import GroundedAnswerGenerator
from knowledge.build import open_embedding
from knowledge.ids import OrganizationId
from knowledge.search.findings import Findings
from knowledge.search.indexing import Indexer, IndexReport
from knowledge.search.retrieval import Retriever
from knowledge.search.words import words
from knowledge.settings import EndpointSettings, Settings
from tables.schema import upgrade
from tables.search_index import SearchIndexStore
from tables.search_view import OrganizationSearch
from tables.session import Database, create_database

_ORGANIZATION = OrganizationId("gold")
GOALS = {"first_10": 0.95, "first": 0.80, "contains": 0.90, "declined": 0.95}


@contextmanager
def scratch_database() -> Generator[Database]:
    """A migrated database on a PostgreSQL that goes with the block."""
    with scratch_server() as server:
        upgrade(server.get_uri())
        database = create_database(server.get_uri())
        yield database
        database.close()


@dataclass(slots=True)
class _Asked:
    question: Question
    findings: Findings
    answer: Answer
    seconds: float


async def measure(path: Path, hold_out: int, limit: int | None, seed: int) -> tuple[dict[str, object], list[_Asked]]:
    """The figures that the module's docstring lists, and every question with what came of it."""
    gold = read_gold(path, _ORGANIZATION)
    held_out = gold[hold_out - 1 :: hold_out]
    loaded = [one for one in gold if one not in held_out]
    questions = [*answerable(loaded), *unanswerable(loaded, held_out, seed)]
    if limit is not None and limit < len(questions):
        questions = random.Random(seed).sample(questions, limit)
    with scratch_database() as database:
        publish_gold(database, loaded)
        async with open_embedding(Settings(chat=EndpointSettings(), embedding=EndpointSettings())) as embedding:
            started = time.perf_counter()
            report = await Indexer(SearchIndexStore(database, _ORGANIZATION), embedding).index()
            indexed = time.perf_counter() - started
            source = OrganizationSearch(database, _ORGANIZATION)
            generator = GroundedAnswerGenerator(source, Retriever(source, embedding))
            asked = [await _ask(generator, question) for question in questions]
    figures = {
        "documents": len(loaded),
        "entities": sum(len(one.graph.entities) for one in loaded),
        "facts": sum(len(one.graph.relations) for one in loaded),
        **_index_figures(report, indexed),
        **_figures(asked),
    }
    return figures, asked


async def _ask(generator: GroundedAnswerGenerator, question: Question) -> _Asked:
    started = time.perf_counter()
    findings, answer = await generator.find_and_answer(question.text)
    return _Asked(question, findings, answer, time.perf_counter() - started)


def _index_figures(report: IndexReport, seconds: float) -> dict[str, object]:
    return {
        "entries": report.entries,
        "embedding_calls": report.usage.embedding_calls,
        "index_seconds": round(seconds, 1),
    }


def _figures(asked: Sequence[_Asked]) -> dict[str, object]:
    by_kind: defaultdict[str, list[_Asked]] = defaultdict(list)
    for one in asked:
        by_kind[one.question.kind].append(one)
    templates, paraphrases = by_kind.pop("template", []), by_kind.pop("paraphrase", [])
    negatives = [one for ones in by_kind.values() for one in ones]
    seconds = sorted(one.seconds for one in asked)
    return {
        "questions": {"template": len(templates), "paraphrase": len(paraphrases), "unanswerable": len(negatives)},
        **_rates(templates),
        "paraphrased": _rates(paraphrases),
        "declined": _share(not one.answer.is_answered for one in negatives),
        "declined_by_kind": {
            kind: _share(not one.answer.is_answered for one in ones) for kind, ones in sorted(by_kind.items())
        },
        "calibration": _calibration(asked),
        "dropped_sentences": sum(len(one.answer.dropped) for one in asked),
        "p50_ms": round(1000 * seconds[len(seconds) // 2], 1),
        "p95_ms": round(1000 * seconds[int(len(seconds) * 0.95)], 1),
    }


def _calibration(asked: Sequence[_Asked]) -> dict[str, object]:
    """Of the answers given: right is one whose first fact answers. Facts of annotations are true, so that is all."""
    answered = [one for one in asked if one.answer.is_answered]
    judged = [
        Judged(one.answer.confidence.match, one.answer.confidence.value, _is_right(one.question, one.answer))
        for one in answered
    ]
    if not judged:
        return {}
    slope, intercept = fitted(judged)
    halves = [is_of_second_half(one.question.subject) for one in answered]
    return {
        "fit": {"slope": round(slope, 2), "intercept": round(intercept, 2)},
        "shipped": agreement(judged),
        "held_out": agreement(cross_fitted(judged, halves)),
        "uncalibrated": agreement([replace(one, confidence=one.score) for one in judged]),
    }


def _is_right(question: Question, answer: Answer) -> bool:
    return answer.trace[0].relation_id in question.relations


def _rates(asked: Sequence[_Asked]) -> dict[str, float]:
    found = [[fact.fact.id in one.question.relations for fact in one.findings.facts[:10]] for one in asked]
    wanted = sum(min(10, len(one.question.relations)) for one in asked)
    objects = [(one, forms) for one in asked for forms in one.question.objects]
    return {
        "first_10": _share(any(hits) for hits in found),
        "first": _share(hits[:1] == [True] for hits in found),
        "all_10": round(sum(map(sum, found)) / wanted, 4) if wanted else 0.0,
        "contains": _share(any(_has(one.answer.text, forms) for forms in one.question.objects) for one in asked),
        "quoted": _share(any(_has(_quoted(one.answer), forms) for forms in one.question.objects) for one in asked),
        "contains_all": _share(_has(one.answer.text, forms) for one, forms in objects),
        "answered": _share(one.answer.is_answered for one in asked),
    }


def _quoted(answer: Answer) -> str:
    return " ".join(sentence.text for sentence in answer.sentences if sentence.text.startswith("“"))


def _has(text: str, forms: Iterable[str]) -> bool:
    """Whether the text has one of the forms, word for word, whatever the case and punctuation."""
    line = f" {' '.join(words(text))} "
    return any(f" {' '.join(words(form))} " in line for form in forms)


def _share(values: Iterable[bool]) -> float:
    listed = list(values)
    return round(sum(listed) / len(listed), 4) if listed else 0.0


def _show(asked: Sequence[_Asked], number: int) -> None:
    """Questions that went wrong, some of each kind."""
    shown: Counter[str] = Counter()
    for one in asked:
        wrong = _is_wrong(one)
        if wrong and shown[wrong] < number:
            shown[wrong] += 1
            print("\n   ".join(_described(wrong, one)), file=sys.stderr)


def _described(wrong: str, one: _Asked) -> Iterator[str]:
    asked = [(predicate.label, round(predicate.fit, 2)) for predicate in one.findings.asked[:3]]
    yield f"[{wrong}] {one.question.text}"
    yield f"wanted {one.question.objects[:3]}"
    yield f"said {one.answer.text[:200]}"
    yield f"named {one.findings.named}, asks {asked}"
    for found in one.findings.facts[:3]:
        yield f"{found.name_fit:.2f} {found.predicate_fit:.2f} {found.hops} {found.fact.text}"


def _is_wrong(one: _Asked) -> str:
    question = one.question
    if not question.relations:
        return f"not declined: {question.kind}" if one.answer.is_answered else ""
    hits = [fact.fact.id in question.relations for fact in one.findings.facts[:10]]
    if not any(hits):
        return f"not in 10: {question.kind}"
    if not hits[0]:
        return f"not first: {question.kind}"
    return "" if any(_has(one.answer.text, forms) for forms in question.objects) else f"no object: {question.kind}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", type=Path)
    parser.add_argument("--hold-out", type=int, default=10, help="every so manyth document is not loaded (10)")
    parser.add_argument("--limit", type=int, help="ask only so many questions, drawn at random")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--show", type=int, default=0, help="print so many failures of each kind to stderr")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    figures, asked = asyncio.run(measure(arguments.documents, arguments.hold_out, arguments.limit, arguments.seed))
    _show(asked, arguments.show)
    if arguments.json:
        print(json.dumps({**figures, "goals": GOALS}))
        return
    for name, value in figures.items():
        goal = f"   (goal {GOALS[name]})" if name in GOALS else ""
        print(f"{name:20}{value}{goal}")


if __name__ == "__main__":
    main()
