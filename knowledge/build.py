"""The composition root of the core: settings in, stages and pipeline out."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager

from knowledge.models.boundary import ModelBoundary
from knowledge.models.journal import AnswerJournal
from knowledge.ports import EmbeddingModel, ExtractionModel
from knowledge.settings import EndpointSettings, Settings
from knowledge.stages.stages import Stages
from resilience.limiter import RequestRate
from resilience.permits import InProcessPermits, Permits

EMBEDDING_PERMITS = 5


@asynccontextmanager
async def open_stages(
    settings: Settings, embedding_permits: Permits | None = None, journal: AnswerJournal | None = None
) -> AsyncGenerator[Stages]:
    """The stages with the models that the settings name; use them in the event loop that opened them.

    `embedding_permits` replaces the permits of this process when several processes share them; `journal`, open,
    records what remote models answer, and answers in their place what it has on record.
    """
    async with AsyncExitStack() as stack:
        permits = embedding_permits or InProcessPermits(EMBEDDING_PERMITS)
        extraction = _extraction_model(settings.chat, journal, stack)
        yield Stages(extraction, _embedding_model(settings.embedding, permits, journal, stack))


# Adapters are imported when they are wanted: the embedded ones are an extra, and the SDK takes a second.
def _extraction_model(
    settings: EndpointSettings, journal: AnswerJournal | None, stack: AsyncExitStack
) -> ExtractionModel:
    if not settings.is_configured:
        from knowledge.models.embedded import EmbeddedExtractionModel

        return EmbeddedExtractionModel()
    from knowledge.models.chat_extraction import ChatExtractionModel
    from knowledge.models.openai import ChatClient

    permits = InProcessPermits(settings.max_concurrency)
    boundary = ModelBoundary("chat endpoint", permits, RequestRate(settings.requests_per_minute))
    client = ChatClient(settings, boundary, journal)
    stack.push_async_callback(client.aclose)
    return ChatExtractionModel(client)


def _embedding_model(
    settings: EndpointSettings, permits: Permits, journal: AnswerJournal | None, stack: AsyncExitStack
) -> EmbeddingModel:
    if not settings.is_configured:
        from knowledge.models.embedded import EmbeddedEmbeddingModel

        return EmbeddedEmbeddingModel()
    from knowledge.models.openai import OpenAIEmbeddingModel

    model = OpenAIEmbeddingModel(
        settings, ModelBoundary("embedding endpoint", permits, RequestRate(settings.requests_per_minute))
    )
    stack.push_async_callback(model.aclose)
    return model
