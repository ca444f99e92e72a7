"""What the pipeline makes of annotated documents: a graph to be scored, and what it cost.

    python benchmarks/fidelity.py DOCUMENTS.jsonl ONTOLOGIES/ [--endpoint URL] [--out DIR] [--scorer SCORE.py] [--json]

Extracts every document of a JSON-lines file (`doc_id`, `text`, `ontology`: the file stem or local name of one of the
ontologies) with the plain pipeline and the models that the settings name, or those of an endpoint. Writes
`graph.jsonl`, `mentions.jsonl` and `rejections.jsonl`. With a scorer, a script that takes the documents and the graph
and writes a report with `--json FILE`, the report's figures are printed too.

`confidence` says how well the facts' confidences agree with the annotation: what the extractor claimed, what the
shipped calibration makes of it, and what one fitted to these documents would, each ontology or document held out.
`--fit FILE` writes that one, for `KNOWLEDGE_CALIBRATION`.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from annotation import Annotation, verdicts
from calibration import JudgedFact, calibration_report, fit

from knowledge.build import open_stages
from knowledge.domain import Document
from knowledge.exports import GraphExport, export_jsonl, mentions_jsonl
from knowledge.ids import OrganizationId
from knowledge.ontology import Ontology, load_ontology
from knowledge.ontology.names import local_name
from knowledge.pipeline import ExtractionOptions, ExtractionPipeline, ExtractionResult
from knowledge.settings import EndpointSettings, Settings
from knowledge.stages.assembly import Assembly
from knowledge.stages.calls import StageAnswer, StageCall, run_plainly
from knowledge.stages.resolution import ground
from knowledge.stages.stages import Stages

Result = TypeVar("Result")
_ORGANIZATION = OrganizationId("benchmark")
_DOCUMENTS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Annotated:
    """A document and the ontology it is annotated with."""

    document: Document
    ontology: Ontology
    annotation: Annotation


@dataclass(frozen=True, slots=True)
class Reading:
    """What the pipeline made of a document."""

    annotated: Annotated
    result: ExtractionResult
    assembly: Assembly

    def judged_facts(self) -> list[JudgedFact]:
        """The facts that count, with what spoke for them."""
        document, ontology, graph = self.annotated.document, self.annotated.ontology, self.result.graph
        grounds = ground(self.assembly, document, ontology, graph.ontology_id, graph.extraction_id).grounds
        return [
            JudgedFact(grounds[relation.id], right, document.name, ontology.iri)
            for relation, right in verdicts(graph, self.annotated.annotation)
        ]

    @property
    def export(self) -> GraphExport:
        """The graph as exports want it."""
        return GraphExport(self.annotated.document, self.annotated.ontology, self.result.graph)


def read_annotated(documents: Path, ontologies: Path, wanted: Sequence[str]) -> list[Annotated]:
    """The documents of the file whose `doc_id` or `dataset` is wanted, or all, each with its ontology."""
    known: dict[str, Ontology] = {}
    for path in sorted(ontologies.glob("*.ttl")):
        ontology = load_ontology(path.read_bytes(), path.name)
        known |= {path.stem: ontology, local_name(ontology.iri): ontology}
    found: list[Annotated] = []
    for line in documents.read_text("utf-8").splitlines():
        record: dict[str, Any] = json.loads(line)
        if not wanted or record["doc_id"] in wanted or record.get("dataset") in wanted:
            document = Document.of(_ORGANIZATION, record["doc_id"], record["text"])
            found.append(Annotated(document, known[record["ontology"]], Annotation(record)))
    return found


async def extract(
    items: Sequence[Annotated], endpoint: str | None, options: ExtractionOptions
) -> tuple[list[Reading], Stages]:
    """Every document's reading, in order, and the stages that read them."""
    settings = _settings(endpoint)
    turns = asyncio.Semaphore(_DOCUMENTS_AT_ONCE)
    async with open_stages(settings) as stages:

        async def read(item: Annotated) -> Reading:
            async with turns:
                keeping = _AssemblyKeeper()
                result = await ExtractionPipeline(stages.run_by(keeping)).run(item.document, item.ontology, options)
                assert keeping.assembly is not None
                return Reading(item, result, keeping.assembly)

        return list(await asyncio.gather(*(read(item) for item in items))), stages


def _settings(endpoint: str | None) -> Settings:
    """Those of the environment, with another endpoint for both kinds of models if one is given."""
    settings = Settings()
    if endpoint is None:
        return settings
    chat = {"base_url": endpoint, "model": settings.chat.model or "benchmark"}
    embedding = EndpointSettings(base_url=endpoint, model="benchmark")
    return settings.model_copy(update={"chat": settings.chat.model_copy(update=chat), "embedding": embedding})


class _AssemblyKeeper:
    """Runs stages plainly, and keeps what the graph is made from."""

    def __init__(self) -> None:
        self.assembly: Assembly | None = None

    async def __call__(self, call: StageCall[Result]) -> StageAnswer[Result]:
        answer = await run_plainly(call)
        if isinstance(answer.value, Assembly):
            self.assembly = answer.value
        return answer


def summarize(readings: Sequence[Reading], seconds: float) -> dict[str, Any]:
    """Costs and losses over all documents; rates are per 1,000 or 2,000 characters of document text."""
    characters = sum(len(reading.annotated.document.text) for reading in readings)
    total = Counter[str]()
    for reading in readings:
        statistics = reading.result.statistics
        for name in ("chunks", "mentions", "entities", "relations", "model_calls", "failed_items", "rejected"):
            total[name] += getattr(statistics, name)
        total["input_tokens"] += statistics.input_tokens
        total["output_tokens"] += statistics.output_tokens
    reasons = Counter(rejection.reason for reading in readings for rejection in reading.result.rejections)
    return {
        "documents": len(readings),
        "characters": characters,
        **total,
        "calls_per_2000_characters": round(total["model_calls"] / characters * 2000, 3),
        "tokens_per_1000_characters": round((total["input_tokens"] + total["output_tokens"]) / characters * 1000, 1),
        "seconds": round(seconds, 2),
        "rejected_because": dict(reasons.most_common()),
    }


def write_out(readings: Sequence[Reading], out: Path) -> None:
    """Writes the graphs, the mentions and what was left out."""
    out.mkdir(parents=True, exist_ok=True)
    exports = [reading.export for reading in readings]
    _write_lines(out / "graph.jsonl", export_jsonl(exports))
    _write_lines(out / "mentions.jsonl", mentions_jsonl(exports))
    rejections = (
        json.dumps({"doc_id": reading.annotated.document.name, "reason": r.reason, "item": r.item}, ensure_ascii=False)
        for reading in readings
        for r in reading.result.rejections
    )
    _write_lines(out / "rejections.jsonl", rejections)


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")


def score(scorer: Path, documents: Path, out: Path, *, show: int = 0) -> dict[str, Any]:
    """The scorer's report on what was written; its own print goes to `score.txt`."""
    report = out / "score.json"
    command = [sys.executable, str(scorer), str(documents), str(out / "graph.jsonl"), "--only-produced"]
    command += ["--mentions", str(out / "mentions.jsonl"), "--json", str(report), "--show", str(show)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    (out / "score.txt").write_text(done.stdout, "utf-8")
    return json.loads(report.read_text("utf-8"))


def main() -> None:
    """Extract, write, score, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("documents", type=Path)
    parser.add_argument("ontologies", type=Path)
    parser.add_argument("--endpoint", help="an OpenAI-compatible endpoint, instead of the settings' models")
    parser.add_argument("--out", type=Path, default=Path("fidelity"))
    parser.add_argument("--scorer", type=Path)
    parser.add_argument("--only", action="append", default=[], help="a doc_id or dataset to read; may be repeated")
    parser.add_argument("--options", default="{}", help="extraction options as JSON")
    parser.add_argument("--show", type=int, default=0, help="so many losses of each document in score.txt")
    parser.add_argument("--fit", type=Path, help="write the calibration that these documents give")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    options = ExtractionOptions.model_validate_json(given.options)
    items = read_annotated(given.documents, given.ontologies, given.only)
    started = time.perf_counter()
    readings, stages = asyncio.run(extract(items, given.endpoint, options))
    measured = summarize(readings, time.perf_counter() - started)
    facts = [fact for reading in readings for fact in reading.judged_facts()]
    if facts:
        measured["confidence"] = calibration_report(facts, stages.calibration)
    if facts and given.fit is not None:
        fitted = fit(facts, stages.calibration, stages.extraction_model.extractor.model)
        given.fit.write_text(fitted.model_dump_json(indent=2), "utf-8")
    write_out(readings, given.out)
    if given.scorer is not None:
        measured["scores"] = score(given.scorer, given.documents, given.out, show=given.show)
    print(json.dumps(measured, indent=None if given.json else 2, ensure_ascii=False))


if __name__ == "__main__":
    main()
