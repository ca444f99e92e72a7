"""Asking the chat model about the links that rules leave open, as far as its answers are not stored."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass

from knowledge.domain import Stage
from knowledge.doubtful_links import DoubtfulPair, Verdict
from knowledge.errors import ModelError, ModelHeldBack, SpendCeilingReached
from knowledge.ids import ExecutionId, ExtractionId, OrganizationId
from knowledge.ontology import Ontology
from knowledge.ports import LinkModel
from tables.link_questions import KeptVerdicts, doubtful_pairs, write_verdicts
from tables.session import Database
from tasks.activities import ActivityRecorder

PAIRS_OF_A_QUESTION = 8
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class LinkQuestions:
    """Decides about an extraction's doubtful links with at most so many questions.

    What is answered is stored, by pair, before anything is made of it: whoever takes the execution up asks only about
    the rest. `held` is awaited before each question.
    """

    database: Database
    organization_id: OrganizationId
    model: LinkModel
    max_questions: int
    recorder: ActivityRecorder
    held: Callable[[], Awaitable[None]]

    async def decide(self, extraction_id: ExtractionId, ontology: Ontology, execution_id: ExecutionId) -> int:
        """How many links are new or changed. What the model does not answer stays as the rules left it.

        Raises:
            ModelHeldBack: the endpoint is down; the run goes on when it answers.
            StoreUnavailable, ResultNotPersisted: the database did not answer.
        """
        pairs = await asyncio.to_thread(
            doubtful_pairs,
            self.database,
            self.organization_id,
            extraction_id,
            _names(ontology),
            self.max_questions * PAIRS_OF_A_QUESTION,
        )
        verdicts = await self._verdicts(pairs)
        return await asyncio.to_thread(
            write_verdicts, self.database, self.organization_id, verdicts, self.model.by.model, execution_id
        )

    async def _verdicts(self, pairs: Sequence[DoubtfulPair]) -> Mapping[DoubtfulPair, Verdict]:
        if not pairs:
            return {}
        kept = KeptVerdicts(self.database, self.organization_id)
        verdicts = await asyncio.to_thread(kept.find, self.model.by, pairs)
        left = [pair for pair in pairs if pair not in verdicts]
        try:
            for start in range(0, len(left), PAIRS_OF_A_QUESTION):
                verdicts |= await self._ask(left[start : start + PAIRS_OF_A_QUESTION], kept)
        except ModelHeldBack:
            raise
        except (ModelError, SpendCeilingReached) as error:
            _logger.warning("links stay undecided: %s", error.message)
        return verdicts

    async def _ask(self, pairs: Sequence[DoubtfulPair], kept: KeptVerdicts) -> dict[DoubtfulPair, Verdict]:
        await self.held()
        with self.recorder.attempt(Stage.PUBLISH, f"links {pairs[0].one}", None) as attempt:
            answer = await self.model.decide(pairs)
            attempt.usage = answer.usage
            verdicts = dict(zip(pairs, answer.verdicts, strict=True))
            await asyncio.to_thread(kept.keep, self.model.by, verdicts)
        return verdicts


def _names(ontology: Ontology) -> dict[str, str]:
    return {item.iri: item.name for item in (*ontology.classes, *ontology.properties)}
