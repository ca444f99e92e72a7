"""Questions and indexing as flow runs: the same as from the command line, on the database of the results block."""

import logging

import httpx
from prefect.artifacts import acreate_markdown_artifact
from prefect.exceptions import PrefectHTTPStatusError

from knowledge.answers.answer import Answer
from knowledge.answers.asking import AnswerOptions
from knowledge.answers.rendering import answer_lines
from knowledge.ids import OrganizationId
from knowledge.search.indexing import IndexReport
from knowledge.settings import Settings
from tasks.answering import answer_options, open_answering
from tasks.results import RESULTS_BLOCK, ResultStorage

_ARTIFACT = "answer"
_MARKDOWN = "\\`*_{}[]()#+-.!|<>&"
_logger = logging.getLogger(__name__)


async def answer_question(
    settings: Settings, organization_id: OrganizationId, question: str, options: AnswerOptions
) -> Answer:
    """The answer from the organisation's graph, its index brought up to date first.

    Raises:
        KnowledgeError: as `GroundedAnswerGenerator.answer` and `Indexer.index`.
    """
    storage = await ResultStorage.aload(RESULTS_BLOCK)
    async with open_answering(settings, storage.database, organization_id) as answering:
        await answering.indexer.index()
        return await answering.generator.answer(question, answer_options(settings, options))


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
