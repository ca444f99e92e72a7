"""How fast a long text goes through the embedded extractor, and how much memory that takes.

    python benchmarks/extraction.py TEXT ONTOLOGY [--json]

Extracts the text once without a workflow in this process, models loaded beforehand, and prints kB of text per second
of stage time and the process's peak memory.
"""

import argparse
import asyncio
import json
import resource
import sys
import time
from pathlib import Path

from knowledge.build import open_stages
from knowledge.documents import document_name, read_text
from knowledge.domain import Document
from knowledge.ids import OrganizationId
from knowledge.ontology import load_ontology
from knowledge.pipeline import ExtractionPipeline
from knowledge.settings import EndpointSettings, Settings

_ORGANIZATION = OrganizationId("benchmark")
_WARM_UP = "Ada Lovelace was born in London in 1815."


async def measure(text_path: Path, ontology_path: Path) -> dict[str, float]:
    """Seconds to load the models, seconds of stage time, kB per second, peak memory in MB, and what was found."""
    settings = Settings(chat=EndpointSettings(), embedding=EndpointSettings())
    ontology = load_ontology(ontology_path.read_bytes(), ontology_path.name)
    data = text_path.read_bytes()
    text = read_text(data, text_path.name, settings.documents.max_bytes)
    document = Document.of(_ORGANIZATION, document_name(str(text_path)), text)
    async with open_stages(settings) as stages:
        pipeline = ExtractionPipeline(stages)
        started = time.perf_counter()
        await pipeline.run(Document.of(_ORGANIZATION, "warm-up", _WARM_UP), ontology)
        loaded = time.perf_counter()
        result = await pipeline.run(document, ontology)
        seconds = time.perf_counter() - loaded
    return {
        "kilobytes": len(data) / 1000,
        "load_seconds": round(loaded - started, 3),
        "stage_seconds": round(seconds, 3),
        "kilobytes_per_second": round(len(data) / 1000 / seconds, 2),
        "peak_rss_mb": round(_peak_rss_mb(), 1),
        "chunks": result.statistics.chunks,
        "entities": result.statistics.entities,
        "relations": result.statistics.relations,
    }


def _peak_rss_mb() -> float:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path)
    parser.add_argument("ontology", type=Path)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    measured = asyncio.run(measure(arguments.text, arguments.ontology))
    if arguments.json:
        print(json.dumps(measured))
        return
    for name, value in measured.items():
        print(f"{name:22}{value:>12g}")


if __name__ == "__main__":
    main()
