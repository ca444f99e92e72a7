"""Questions and indexing as flow runs: the same as from the command line, on the database of the results block."""

import logging
from collections.abc import Generator
from contextlib import contextmanager

import httpx
from prefect.artifacts import acreate_markdown_artifact
from prefect.exceptions import PrefectHTTPStatusError

from knowledge.answers.answer import Answer
from knowledge.answers.asking import AnswerOptions
from knowledge.answers.rendering import answer_lines
from knowledge.errors import KnowledgeError
from knowledge.ids import FlowRunId, OrganizationId
from knowledge.models.journal import AnswerJournal
from knowledge.search.indexing import IndexReport
from knowledge.settings import Settings
from tables.session import Database
from tasks.answering import answer_options, open_answering
from tasks.interruptions import is_interruption
from tasks.keepsakes import Keepsakes
from tasks.results import RESULTS_BLOCK, ResultStorage

_ARTIFACT = "answer"
_MARKDOWN = "\\`*_{}[]()#+-.!|<>&"
_logger = logging.getLogger(__name__)


async def answer_question(
    settings: Settings, organization_id: OrganizationId, question: str, options: AnswerOptions, flow_run_id: FlowRunId
) -> Answer:
    """The answer from the organisation's graph, its index brought up to date first.

    What endpoints answer is on record for a later process of this flow run: killed and started again, it pays for no
    answered question twice.

    Raises:
        KnowledgeError: as `GroundedAnswerGenerator.answer` and `Indexer.index`.
    """
    storage = await ResultStorage.aload(RESULTS_BLOCK)
    return await answer_within(settings, storage.database, organization_id, question, options, flow_run_id)


async def answer_within(
    settings: Settings,
    database: Database,
    organization_id: OrganizationId,
    question: str,
    options: AnswerOptions,
    flow_run_id: FlowRunId,
) -> Answer:
    """As `answer_question`, on this database."""
    keepsakes = Keepsakes.of(settings, organization_id, flow_run_id)
    try:
        with _journal(settings, keepsakes) as journal:
            async with open_answering(settings, database, organization_id, journal=journal) as answering:
                await answering.indexer.index()
                answer = await answering.generator.answer(question, answer_options(settings, options))
    except KnowledgeError as error:
        if not is_interruption(error):
            keepsakes.remove()
        raise
    keepsakes.remove()
    return answer


@contextmanager
def _journal(settings: Settings, keepsakes: Keepsakes) -> Generator[AnswerJournal | None]:
    """The flow run's journal; embedded models have nothing to lose."""
    if not (settings.chat.is_configured or settings.embedding.is_configured):
        yield None
        return
    with AnswerJournal(keepsakes.answers) as journal:
        yield journal


async def index_graphs(settings: Settings, organization_id: OrganizationId, *, reembed: bool) -> IndexReport:
    """What bringing the organisation's index up to date took.

    Raises:
        IndexRefused: it holds vectors of another model, and `reembed` is false.
    """
    storage = await ResultStorage.aload(RESULTS_BLOCK)
    async with open_answering(settings, storage.database, organization_id, patient=True) as answering:
        return await answering.indexer.index(reembed=reembed)


async def show_answer(answer: Answer) -> None:
    """An artifact of the current flow run with the answer and its citations.

    The answer stands without it: a run does not fail because Prefect's API is away.
    """
    lines = [f"**{_escaped(answer.question)}**", "", *(_escaped(line) for line in answer_lines(answer))]
    try:
        await acreate_markdown_artifact("\n\n".join(lines), key=_ARTIFACT, description="The answer and what backs it")
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        _logger.warning("the answer could not be shown: %s", error)


def _escaped(text: str) -> str:
    """Text that markdown shows as it is: questions and documents are not ours."""
    return "".join(f"\\{c}" if c in _MARKDOWN else c for c in text)
