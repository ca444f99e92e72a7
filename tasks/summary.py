"""What the Prefect UI shows of a completed execution: a summary with the entities that matter most."""

import logging
from collections import Counter
from collections.abc import Iterator

import httpx
from prefect.exceptions import PrefectHTTPStatusError

from knowledge.domain import KnowledgeGraph
from knowledge.ontology import Ontology
from knowledge.stages.relations import UNKNOWN_PREDICATE
from tasks.execution import Extracted
from tasks.markdown import escaped
from tasks.run_view import RunView

_SHOWN_ENTITIES = 25
_SHOWN_FAILURES = 20
_SHOWN_REASONS = 6
_NAMED_ENTITIES = 10
_logger = logging.getLogger(__name__)


def summary_of(extracted: Extracted) -> str:
    """One line: what was found in which document, and what it took."""
    statistics = extracted.statistics
    return (
        f"{extracted.document.name}: {statistics.entities} entities and {statistics.relations} relations "
        f"from {statistics.chunks} chunks; {statistics.model_calls} model calls, {statistics.cached_calls} answered "
        f"from stored results, {statistics.failed_items} items failed"
    )


async def publish_summary(view: RunView, extracted: Extracted) -> None:
    """The summary, as the page of the flow run.

    The graph is published by now: a run does not fail because Prefect's API is away.
    """
    try:
        await view.show_summary(summary_lines(extracted, view))
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        _logger.warning("the summary could not be shown: %s", error)


async def present_for_review(view: RunView, extracted: Extracted) -> str:
    """Shows what would be published, as `publish_summary` does; returns markdown for the reviewer's form."""
    await publish_summary(view, extracted)
    statistics, graph = extracted.statistics, extracted.result.graph
    names = [escaped(label) for label, *_ in _top_entities(graph, extracted.ontology.ontology)]
    return (
        f"**{escaped(extracted.document.name)}**: {statistics.entities} entities, {statistics.mentions} mentions and "
        f"{statistics.relations} relations are ready to be published; {statistics.failed_items} items failed.\n\n"
        f"Most connected: {', '.join(names[:_NAMED_ENTITIES]) or 'none'}.\n\n"
        "The run's Artifacts tab shows the summary."
    )


def summary_lines(extracted: Extracted, view: RunView) -> Iterator[str]:
    """The summary as markdown: what came out and cost, what is doubtful, top entities, and where to look further."""
    yield from (f"# {escaped(extracted.document.name)}", "", "| | |", "|---|---|")
    yield from (f"| {name} | {value} |" for name, value in _rows(extracted))
    warnings = list(_warnings(extracted))
    if warnings:
        yield from ("", "## Worth a look", "", *(f"- {warning}" for warning in warnings))
    failures = extracted.result.failures
    if failures:
        yield from ("", f"## {_counted(len(failures), 'item')} failed", "")
        yield from (
            f"- {failed.stage} of chunk {failed.chunk_index + 1}: {escaped(failed.message)}"
            for failed in failures[:_SHOWN_FAILURES]
        )
    entities = _top_entities(extracted.result.graph, extracted.ontology.ontology)
    if entities:
        yield from ("", f"## The {_counted(len(entities), 'entity', 'entities')} with the most relations", "")
        yield from ("| Entity | Classes | Relations | Mentions |", "|---|---|---:|---:|")
        yield from (f"| {escaped(label)} | {escaped(classes)} | {rs} | {ms} |" for label, classes, rs, ms in entities)
    yield from ("", "## Graph, evidence and history", "")
    yield from view.report_lines(extracted.document.organization_id, extracted.execution_id)


def _rows(extracted: Extracted) -> Iterator[tuple[str, str]]:
    statistics = extracted.statistics
    asked, stored = statistics.model_calls, statistics.cached_calls
    share = f" ({stored / (asked + stored):.0%})" if asked + stored else ""
    yield "Execution", f"`{extracted.execution_id}`"
    yield "Document", f"{escaped(extracted.document.name)}, {len(extracted.document.text):,} characters"
    yield "Ontology", f"{escaped(extracted.ontology.ontology.label)} (`{extracted.ontology.id}`)"
    yield "Graph", f"{statistics.entities} entities, {statistics.mentions} mentions, {statistics.relations} relations"
    yield "Model calls", f"{asked} asked, {stored} answered from stored results{share}"
    yield "Embedding calls", f"{statistics.embedding_calls}"
    yield "Tokens", f"{statistics.input_tokens:,} in, {statistics.output_tokens:,} out"
    yield "Resumes", f"{extracted.resumes}"
    yield "Seconds", f"{statistics.seconds:.1f}"


def _warnings(extracted: Extracted) -> Iterator[str]:
    """What is doubtful about the graph, in a line each."""
    result = extracted.result
    flagged = sum(bool(relation.flags) for relation in result.graph.relations)
    if flagged:
        yield f"{_counted(flagged, 'fact')} outside the predicate's domain or range, and flagged"
    unclassed = sum(not entity.classes for entity in result.graph.entities)
    if unclassed:
        yield f"{_counted(unclassed, 'entity', 'entities')} of no class of the ontology"
    reasons = Counter(rejection.reason for rejection in result.rejections)
    unmapped = reasons.pop(UNKNOWN_PREDICATE, 0)
    if unmapped:
        yield f"{_counted(unmapped, 'fact')} left out because the ontology does not have the predicate"
    for reason, count in reasons.most_common(_SHOWN_REASONS):
        yield f"{count} × left out of what models said: {escaped(reason)}"
    if extracted.resumes:
        yield f"{_counted(extracted.resumes, 'resume')}, because its process died; what was answered was kept"


def _counted(number: int, one: str, several: str = "") -> str:
    return f"{number:,} {one if number == 1 else several or one + 's'}"


def _top_entities(graph: KnowledgeGraph, ontology: Ontology) -> list[tuple[str, str, int, int]]:
    """Labels, classes and numbers of relations and mentions."""
    ends = [end for r in graph.relations for end in (r.subject_id, r.object_id) if end]
    degree = Counter(ends)
    mentions = Counter(mention.entity_id for mention in graph.mentions)
    top = sorted(graph.entities, key=lambda e: (-degree[e.id], -mentions[e.id], e.label))[:_SHOWN_ENTITIES]
    return [
        (
            entity.label,
            ", ".join(c.name for iri in entity.classes if (c := ontology.get_class(iri))),
            degree[entity.id],
            mentions[entity.id],
        )
        for entity in top
    ]
