"""Searching and answering for one organisation, with everything that takes opened: index, models, permits, database."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from knowledge.answers.asking import AnswerOptions, GroundedAnswerGenerator
from knowledge.build import Guards, open_answer_model, open_embedding
from knowledge.ids import OrganizationId
from knowledge.models.journal import AnswerJournal
from knowledge.search.indexing import Indexer
from knowledge.search.retrieval import Retriever
from knowledge.settings import Settings
from tables.kept_answers import KeptAnswerStore
from tables.search_index import SearchIndexStore
from tables.search_view import OrganizationSearch
from tables.session import Database


@dataclass(frozen=True, slots=True)
class Answering:
    """What it takes to search an organisation's graph and to answer from it."""

    indexer: Indexer
    retriever: Retriever
    generator: GroundedAnswerGenerator


@asynccontextmanager
async def open_answering(
    settings: Settings,
    database: Database,
    organization_id: OrganizationId,
    *,
    patient: bool = False,
    journal: AnswerJournal | None = None,
) -> AsyncGenerator[Answering]:
    """Opened in the event loop that uses it. Remote endpoints are guarded together with all other processes.

    Somebody waits for an answer: endpoints that are down or throttle are waited for shortly only, unless `patient`.
    `journal`, open, records what remote models answer, and answers in their place what it has on record.

    Raises:
        ConfigurationError: the Prefect server lacks the permits' limit.
    """
    async with AsyncExitStack() as stack:
        guards = await _guards(settings if patient else _impatient(settings), database, stack)
        embedding = await stack.enter_async_context(open_embedding(settings, guards, journal))
        model = await stack.enter_async_context(open_answer_model(settings, guards, journal))
        source = OrganizationSearch(database, organization_id)
        retriever = Retriever(source, embedding)
        yield Answering(
            Indexer(SearchIndexStore(database, organization_id), embedding),
            retriever,
            GroundedAnswerGenerator(source, retriever, model, KeptAnswerStore(database, organization_id)),
        )


def answer_options(settings: Settings, options: AnswerOptions) -> AnswerOptions:
    """The options, with the settings' room for context."""
    return AnswerOptions(options.when_unavailable, settings.answers.context_characters)


def _impatient(settings: Settings) -> Settings:
    circuit = settings.circuit.model_copy(update={"patience_seconds": settings.answers.patience_seconds})
    return settings.model_copy(update={"circuit": circuit})


async def _guards(settings: Settings, database: Database, stack: AsyncExitStack) -> Guards | None:
    """The guards that all processes share; None with embedded models, which need none."""
    if not (settings.chat.is_configured or settings.embedding.is_configured):
        return None
    # Prefect takes two seconds to import, which embedded models do not need.
    from tasks.endpoints import open_guards

    leases = Path(stack.enter_context(TemporaryDirectory())) / "leases.json"
    return await stack.enter_async_context(open_guards(settings, database, leases))
