"""The composition root of the core: settings in, stages and pipeline out."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from knowledge.answers.ports import AnswerModel
from knowledge.domain import Extractor
from knowledge.models.boundary import EndpointGuard, ModelBoundary
from knowledge.models.journal import AnswerJournal
from knowledge.ports import EmbeddingModel, ExtractionModel, LinkModel
from knowledge.search.embedding import EmbeddingService
from knowledge.settings import CircuitSettings, EndpointSettings, Settings
from knowledge.stages.confidence import RULES, UNKNOWN_MODEL, Calibration, read_calibration
from knowledge.stages.stages import Stages
from resilience.board import EndpointBoard, Sharers
from resilience.gate import EndpointGate, GatePolicy
from resilience.limiter import RequestRate
from resilience.permits import InProcessPermits, Permits
from resilience.spending import SpendMeter

if TYPE_CHECKING:
    from knowledge.models.openai import ChatClient

EMBEDDING_PERMITS = 5


@dataclass(frozen=True, slots=True)
class Guards:
    """What guards the two endpoints, each by itself."""

    chat: EndpointGuard
    embedding: EndpointGuard


def guards_of(
    settings: Settings,
    embedding_permits: Permits | None = None,
    chat_board: EndpointBoard | None = None,
    embedding_board: EndpointBoard | None = None,
) -> Guards:
    """The guards that the settings ask for, within one process; permits and boards make them those of several."""
    chat, embedding = settings.chat, settings.embedding
    chat_permits = InProcessPermits(chat.max_concurrency)
    return Guards(
        _guard(chat, settings.circuit, chat_permits, chat_board),
        _guard(embedding, settings.circuit, embedding_permits or InProcessPermits(EMBEDDING_PERMITS), embedding_board),
    )


def _guard(
    endpoint: EndpointSettings, circuit: CircuitSettings, permits: Permits, board: EndpointBoard | None
) -> EndpointGuard:
    policy = GatePolicy(circuit.failures, circuit.open_seconds, circuit.patience_seconds)
    rate = RequestRate(endpoint.requests_per_minute, endpoint.tokens_per_minute)
    if board is not None:
        board.subscribe(lambda news: rate.share(news.count) if isinstance(news, Sharers) else None)
    return EndpointGuard(permits, rate, EndpointGate(policy, board), endpoint.timeout_seconds)


@asynccontextmanager
async def open_stages(
    settings: Settings,
    guards: Guards | None = None,
    journal: AnswerJournal | None = None,
    spending: SpendMeter | None = None,
) -> AsyncGenerator[Stages]:
    """The stages with the models that the settings name; use them in the event loop that opened them.

    `guards` replace those of this process when several processes share endpoints; `journal`, open, records what
    remote models answer, and answers in their place what it has on record; `spending` bounds what they cost.
    """
    guards = guards or guards_of(settings)
    async with AsyncExitStack() as stack:
        extraction = _extraction_model(settings.chat, guards.chat, journal, spending, stack)
        embedding = _embedding_model(settings.embedding, guards.embedding, journal, spending, stack)
        yield Stages(extraction, embedding, calibration_of(settings, extraction.extractor))


def calibration_of(settings: Settings, extractor: Extractor) -> Calibration:
    """How an extractor's facts are weighed: by the file that the settings name, else by what is known of its kind.

    Raises:
        ConfigurationError: the file is no calibration, or one of another model.
    """
    if settings.calibration is None:
        return UNKNOWN_MODEL if settings.chat.is_configured else RULES
    return read_calibration(settings.calibration, extractor)


@asynccontextmanager
async def open_embedding(
    settings: Settings, guards: Guards | None = None, journal: AnswerJournal | None = None
) -> AsyncGenerator[EmbeddingService]:
    """The embedding service with the model that the settings name; use it in the event loop that opened it."""
    guards = guards or guards_of(settings)
    async with AsyncExitStack() as stack:
        yield EmbeddingService(_embedding_model(settings.embedding, guards.embedding, journal, None, stack))


@asynccontextmanager
async def open_answer_model(
    settings: Settings, guards: Guards | None = None, journal: AnswerJournal | None = None
) -> AsyncGenerator[AnswerModel | None]:
    """The chat model that writes answers; None without a chat endpoint. `journal` as in `open_stages`."""
    if not settings.chat.is_configured:
        yield None
        return
    from knowledge.models.chat_answers import ChatAnswerModel

    guards = guards or guards_of(settings)
    async with AsyncExitStack() as stack:
        yield ChatAnswerModel(_chat_client(settings.chat, guards.chat, journal, None, stack))


@asynccontextmanager
async def open_link_model(
    settings: Settings,
    guards: Guards,
    journal: AnswerJournal | None = None,
    spending: SpendMeter | None = None,
) -> AsyncGenerator[LinkModel | None]:
    """The chat model that decides about links, recorded and bounded like those of `open_stages`; None without one."""
    if not settings.chat.is_configured or not settings.linking.max_questions:
        yield None
        return
    from knowledge.models.chat_linking import ChatLinkModel

    async with AsyncExitStack() as stack:
        yield ChatLinkModel(_chat_client(settings.chat, guards.chat, journal, spending, stack))


# Adapters are imported when they are wanted: the embedded ones are an extra, and the SDK takes a second.
def _extraction_model(
    settings: EndpointSettings,
    guard: EndpointGuard,
    journal: AnswerJournal | None,
    spending: SpendMeter | None,
    stack: AsyncExitStack,
) -> ExtractionModel:
    if not settings.is_configured:
        from knowledge.models.embedded import EmbeddedExtractionModel

        return EmbeddedExtractionModel()
    from knowledge.models.chat_extraction import ChatExtractionModel

    return ChatExtractionModel(_chat_client(settings, guard, journal, spending, stack))


def _chat_client(
    settings: EndpointSettings,
    guard: EndpointGuard,
    journal: AnswerJournal | None,
    spending: SpendMeter | None,
    stack: AsyncExitStack,
) -> "ChatClient":
    from knowledge.models.openai import ChatClient

    client = ChatClient(settings, ModelBoundary("chat endpoint", guard, spending), journal)
    stack.push_async_callback(client.aclose)
    return client


def _embedding_model(
    settings: EndpointSettings,
    guard: EndpointGuard,
    journal: AnswerJournal | None,
    spending: SpendMeter | None,
    stack: AsyncExitStack,
) -> EmbeddingModel:
    if not settings.is_configured:
        from knowledge.models.embedded import EmbeddedEmbeddingModel

        return EmbeddedEmbeddingModel()
    from knowledge.models.openai import OpenAIEmbeddingModel

    model = OpenAIEmbeddingModel(settings, ModelBoundary("embedding endpoint", guard, spending), journal)
    stack.push_async_callback(model.aclose)
    return model
