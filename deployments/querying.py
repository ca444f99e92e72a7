"""`knowledge query`: SPARQL over an organisation's latest graphs."""

import asyncio
from pathlib import Path

from deployments.database import open_database
from deployments.graph_export import latest_exports
from knowledge.errors import NothingExtracted
from knowledge.exports import RdfFormat, export_rdf
from knowledge.ids import OrganizationId
from knowledge.queries.query import QueryLimits, QueryRefused, QueryResult, run_query
from knowledge.settings import Settings
from tables.documents import load_ontology_source


def query_text(given: str) -> str:
    """The query: the contents of the file that `given` names, or itself.

    Raises:
        QueryRefused: it is a word, which no query is, and no file that can be read has that name.
    """
    try:
        return Path(given).read_text("utf-8")
    except UnicodeDecodeError as error:
        raise QueryRefused(f"{given!r} is not UTF-8: save it in that encoding") from error
    except (OSError, ValueError) as error:
        if len(given.split()) > 1 or "{" in given:
            return given
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise QueryRefused(f"{given!r} is no query, and cannot be read as a file ({why})") from error


def query(
    settings: Settings, organization_id: OrganizationId, text: str, *, inference: bool, limits: QueryLimits
) -> QueryResult:
    """The query's result over the organisation's facts and their provenance.

    Raises:
        ConfigurationError: no stack runs and no `DATABASE_URL` is set.
        NothingExtracted: there is no graph yet.
        QueryRefused, QueryTooLarge: as `run_query`.
    """
    with open_database(settings) as database:
        exports = list(latest_exports(database, organization_id))
        ids = sorted({export.graph.ontology_id for export in exports})
        sources = [load_ontology_source(database, organization_id, ontology_id) for ontology_id in ids]
    if not exports:
        raise NothingExtracted(organization_id)
    facts = export_rdf(exports, RdfFormat.N_QUADS)
    ontologies = [(f"{source.name}{source.suffix}", source.content) for source in sources] if inference else []
    return asyncio.run(run_query(text, facts, ontologies, inference=inference, limits=limits))
