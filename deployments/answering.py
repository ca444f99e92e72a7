"""`knowledge index`, `search` and `ask`: an organisation's graph searched, and questions answered from it."""

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from deployments.database import open_database
from deployments.stack import running_stack
from knowledge.answers.answer import Answer
from knowledge.answers.asking import AnswerOptions, WhenUnavailable
from knowledge.ids import OrganizationId
from knowledge.search.findings import Findings
from knowledge.search.indexing import IndexReport
from knowledge.search.retrieval import RetrievalOptions
from knowledge.settings import Settings
from tasks.answering import Answering, answer_options, open_answering


def index(settings: Settings, organization_id: OrganizationId, *, reembed: bool) -> IndexReport:
    """What bringing the organisation's index up to date took; with `reembed` its vectors are made anew if need be.

    Raises:
        ConfigurationError: no stack runs and no `DATABASE_URL` is set.
        IndexRefused: the index holds another model's vectors, and `reembed` is false.
    """

    async def run() -> IndexReport:
        async with _opened(settings, organization_id, patient=True) as answering:
            return await answering.indexer.index(reembed=reembed)

    return asyncio.run(run())


def search(settings: Settings, organization_id: OrganizationId, text: str, options: RetrievalOptions) -> Findings:
    """What the organisation's graph has on the text; the index is brought up to date first.

    Raises:
        ConfigurationError, IndexRefused: as `index`.
        IndexMissing: nothing was extracted yet.
    """

    async def run() -> Findings:
        async with _opened(settings, organization_id) as answering:
            await answering.indexer.index()
            return await answering.retriever.find(text, options)

    return asyncio.run(run())


def ask(
    settings: Settings, organization_id: OrganizationId, question: str, when_unavailable: WhenUnavailable
) -> Answer:
    """The answer from the organisation's graph; the index is brought up to date first.

    Raises:
        ConfigurationError, IndexRefused, IndexMissing: as `search`.
        QuestionRefused: the question is empty or too long.
        ModelError: the chat endpoint did not answer, and `when_unavailable` says to fail.
    """

    async def run() -> Answer:
        async with _opened(settings, organization_id) as answering:
            await answering.indexer.index()
            options = answer_options(settings, AnswerOptions(when_unavailable))
            return await answering.generator.answer(question, options)

    return asyncio.run(run())


@asynccontextmanager
async def _opened(
    settings: Settings, organization_id: OrganizationId, *, patient: bool = False
) -> AsyncGenerator[Answering]:
    stack = running_stack(settings)
    if stack is not None:
        # The permits are those of the stack's server; Prefect has not been imported yet.
        os.environ["PREFECT_API_URL"] = stack.api_url
    with open_database(settings) as database:
        async with open_answering(settings, database, organization_id, patient=patient) as answering:
            yield answering
