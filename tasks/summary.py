"""What the Prefect UI shows of a completed execution: a summary, and the entities that matter most."""

import logging
from collections import Counter

import httpx
from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact
from prefect.exceptions import PrefectHTTPStatusError

from knowledge.domain import KnowledgeGraph
from knowledge.ontology import Ontology
from tasks.execution import Extracted

_SHOWN_ENTITIES = 25
_SHOWN_FAILURES = 20
_logger = logging.getLogger(__name__)
_NAMED_ENTITIES = 10


def summary_of(extracted: Extracted) -> str:
    """One line: what was found in which document, and what it took."""
    statistics = extracted.statistics
    return (
        f"{extracted.document.name}: {statistics.entities} entities and {statistics.relations} relations "
        f"from {statistics.chunks} chunks; {statistics.model_calls} model calls, {statistics.cached_calls} answered "
        f"from stored results, {statistics.failed_items} items failed"
    )


async def publish_summary(extracted: Extracted) -> None:
    """Two artifacts of the current flow run: a markdown summary and a table of entities.

    The graph is published by now: a run does not fail because Prefect's API is away.
    """
    try:
        await _publish(extracted)
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        _logger.warning("the summary could not be shown: %s", error)


async def _publish(extracted: Extracted) -> None:
    key = f"execution-{extracted.execution_id.replace('_', '-')}"
    await acreate_markdown_artifact(_markdown(extracted), key=key, description="What the run found, and what it took")
    await acreate_table_artifact(
        _top_entities(extracted.result.graph, extracted.ontology.ontology),
        key=f"{key}-entities",
        description=f"The {_SHOWN_ENTITIES} entities with the most relations",
    )


async def present_for_review(extracted: Extracted) -> str:
    """Shows what would be published, as `publish_summary` does; returns markdown for the reviewer's form."""
    await publish_summary(extracted)
    statistics, graph = extracted.statistics, extracted.result.graph
    names = [_escaped(str(row["entity"])) for row in _top_entities(graph, extracted.ontology.ontology)]
    return (
        f"**{_escaped(extracted.document.name)}**: {statistics.entities} entities, {statistics.mentions} mentions and "
        f"{statistics.relations} relations are ready to be published; {statistics.failed_items} items failed.\n\n"
        f"Most connected: {', '.join(names[:_NAMED_ENTITIES]) or 'none'}.\n\n"
        "The run's Artifacts tab shows the summary and the entities."
    )


def _markdown(extracted: Extracted) -> str:
    statistics = extracted.statistics
    rows = [
        ("Execution", f"`{extracted.execution_id}`"),
        ("Document", f"{_escaped(extracted.document.name)} (`{extracted.document.id}`)"),
        ("Ontology", f"{_escaped(extracted.ontology.ontology.label)} (`{extracted.ontology.id}`)"),
        ("Graph", f"{statistics.entities} entities, {statistics.mentions} mentions, {statistics.relations} relations"),
        ("Model calls", f"{statistics.model_calls} asked, {statistics.cached_calls} answered from stored results"),
        ("Tokens", f"{statistics.input_tokens} in, {statistics.output_tokens} out"),
        ("Left out of answers", f"{statistics.rejected} parts that did not hold"),
        ("Seconds", f"{statistics.seconds:.1f}"),
    ]
    lines = [f"# {_escaped(extracted.document.name)}", "", "| | |", "|---|---|"]
    lines += [f"| {name} | {value} |" for name, value in rows]
    failures = extracted.result.failures
    if failures:
        lines += ["", f"## {len(failures)} items failed", ""]
        lines += [
            f"- {f.stage} of chunk {f.chunk_index + 1}: {_escaped(f.message)}" for f in failures[:_SHOWN_FAILURES]
        ]
    return "\n".join(lines)


def _top_entities(graph: KnowledgeGraph, ontology: Ontology) -> list[dict[str, object]]:
    ends = [end for r in graph.relations for end in (r.subject_id, r.object_id) if end]
    degree = Counter(ends)
    mentions = Counter(mention.entity_id for mention in graph.mentions)
    top = sorted(graph.entities, key=lambda e: (-degree[e.id], -mentions[e.id], e.label))[:_SHOWN_ENTITIES]
    return [
        {
            "entity": entity.label,
            "classes": ", ".join(c.name for iri in entity.classes if (c := ontology.get_class(iri))),
            "relations": degree[entity.id],
            "mentions": mentions[entity.id],
        }
        for entity in top
    ]


def _escaped(text: str) -> str:
    """Text that markdown shows as it is: document names and model errors are not ours."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]()#+-.!|<>&" else c for c in text.replace("\n", " "))
