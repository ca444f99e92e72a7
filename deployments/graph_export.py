"""`knowledge export`: an organisation's graphs out of PostgreSQL."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from deployments.database import open_database
from knowledge.domain import ExecutionStatus, KnowledgeGraph
from knowledge.errors import NotFound, NothingExtracted
from knowledge.exports import GraphExport, RdfFormat, export_jsonl, export_rdf
from knowledge.ids import ExecutionId, ExtractionId, OrganizationId
from knowledge.linking import EntityLink, LinkStatus
from knowledge.ontology import load_ontology
from knowledge.settings import Settings
from tables.documents import load_document, load_ontology_source
from tables.graph_store import latest_extractions, load_graph
from tables.ledger import Ledger
from tables.links import load_links
from tables.session import Database


def export_graph(
    settings: Settings,
    organization_id: OrganizationId,
    execution_id: ExecutionId | None,
    format_name: str,
    *,
    min_confidence: float = 0.0,
) -> Iterator[bytes]:
    """The graph of one execution, or the latest ones of all the organisation's documents, in a format.

    Facts less sure than `min_confidence` (0 to 1) are left out.

    Raises:
        ConfigurationError: no database is reachable, because no stack runs and no `DATABASE_URL` is set.
        NotFound: the organisation has no such execution.
        NothingExtracted: it has no graph at all.
    """
    exports = load_exports(settings, organization_id, execution_id)
    exports = [replace(export, graph=_sure(export.graph, min_confidence)) for export in exports]
    if format_name == "jsonl":
        yield from (f"{line}\n".encode() for line in export_jsonl(exports))
    else:
        yield export_rdf(exports, RdfFormat(format_name))


def load_exports(
    settings: Settings, organization_id: OrganizationId, execution_id: ExecutionId | None
) -> list[GraphExport]:
    """The graph of one execution, or the latest ones of all the organisation's documents, with the links between them.

    Raises: as `export_graph`.
    """
    if execution_id is None:
        exports = load_all_exports(settings, organization_id)
        if not exports:
            raise NothingExtracted(organization_id)
        return exports
    with open_database(settings) as database:
        exports = [completed_export(database, Ledger(database, organization_id), organization_id, execution_id)]
        return _linked(exports, load_links(database, organization_id, LinkStatus.ACCEPTED))


def load_all_exports(settings: Settings, organization_id: OrganizationId) -> list[GraphExport]:
    """The latest graphs of all the organisation's documents, with the links between them; none before there are any.

    Raises:
        ConfigurationError: as `export_graph`.
    """
    with open_database(settings) as database:
        exports = list(latest_exports(database, organization_id))
        return _linked(exports, load_links(database, organization_id, LinkStatus.ACCEPTED))


def latest_exports(database: Database, organization_id: OrganizationId) -> Iterator[GraphExport]:
    """The latest graph of each of the organisation's documents and ontologies."""
    ledger = Ledger(database, organization_id)
    for latest in latest_extractions(database, organization_id):
        yield completed_export(database, ledger, organization_id, latest.execution_id)


def _sure(graph: KnowledgeGraph, min_confidence: float) -> KnowledgeGraph:
    return replace(graph, relations=tuple(fact for fact in graph.relations if fact.confidence >= min_confidence))


def _linked(exports: list[GraphExport], links: Iterable[EntityLink]) -> list[GraphExport]:
    """The exports, each with the links from its entities to those of the others."""
    home = {entity.id: n for n, export in enumerate(exports) for entity in export.graph.entities}
    own: defaultdict[int, list[EntityLink]] = defaultdict(list)
    for link in links:
        if link.entity_id in home and link.other_id in home:
            own[home[link.entity_id]].append(link)
    return [replace(export, links=tuple(own[n])) for n, export in enumerate(exports)]


def completed_export(
    database: Database, ledger: Ledger, organization_id: OrganizationId, execution_id: ExecutionId
) -> GraphExport:
    """What a completed execution gave.

    Raises:
        NotFound: the organisation has no such execution, or it is not completed.
    """
    state = ledger.load(execution_id)
    if state.status is not ExecutionStatus.COMPLETED or not (
        state.document_id and state.ontology_id and state.extraction_id
    ):
        raise NotFound("completed execution", execution_id)
    extraction_id: ExtractionId = state.extraction_id
    source = load_ontology_source(database, organization_id, state.ontology_id)
    return GraphExport(
        document=load_document(database, organization_id, state.document_id),
        ontology=load_ontology(source.content, source.name),
        graph=load_graph(database, organization_id, extraction_id),
        execution_id=execution_id,
        started_at=state.started_at,
        ended_at=state.ended_at,
    )
