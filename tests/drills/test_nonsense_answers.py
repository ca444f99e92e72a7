"""Nonsense of every kind, one at a time, through the models that the pipeline uses, without a stack."""

import pytest

from knowledge.build import open_stages
from knowledge.domain import Document
from knowledge.errors import KnowledgeError
from knowledge.ids import OrganizationId
from knowledge.ontology import load_ontology
from knowledge.pipeline import ExtractionOptions, ExtractionPipeline, ExtractionResult
from knowledge.settings import EndpointSettings, Settings
from knowledge.stages.calls import Result, StageAnswer, StageCall, run_plainly
from knowledge.stages.stages import Stages
from tests.drills.checks import without_confidence
from tests.drills.endpoint import kind_of
from tests.drills.nonsense_answers import kinds_of_nonsense, nonsense_of_kind
from tests.drills.passages import CHUNK_CHARACTERS, MODEL, ONTOLOGY, document_text, understanding_model
from tests.scripted_endpoint import JSON, Reply, scripted

_DOCUMENT = Document.of(OrganizationId("nonsense"), "drill", document_text(1))
_TRIES = 4


@pytest.mark.parametrize("stage", ["passage", "embeddings"])
async def test_a_question_that_is_answered_with_nonsense_once_is_asked_again(stage: str) -> None:
    """Nothing but a right answer leaves anything in the graph, and one bad answer never costs an item, or the run."""
    with scripted(understanding_model) as endpoint:
        remote = EndpointSettings(base_url=endpoint.base_url, model=MODEL)
        async with open_stages(Settings(chat=remote, embedding=remote)) as stages:
            undisturbed = await _extracted(stages)
            wrong: dict[str, str] = {}
            for name in kinds_of_nonsense(stage):
                endpoint.answer = _Once(name, stage)
                try:
                    result = await _extracted(stages)
                except Exception as error:  # noqa: BLE001 -- whatever it is, it ends the run
                    wrong[name] = repr(error)
                else:
                    if result.failures:
                        wrong[name] = result.failures[0].message
                    elif without_confidence(result.graph) != without_confidence(undisturbed.graph):
                        wrong[name] = "another graph"
    assert wrong == {}


class _Once:
    """Answers the first question of the stage with nonsense, all others as one should."""

    def __init__(self, name: str, stage: str) -> None:
        self._name = name
        self._stage = stage
        self._is_due = True

    def __call__(self, path: str, body: JSON) -> Reply:
        right = understanding_model(path, body)
        if kind_of(path, body) != self._stage or not self._is_due:
            return right
        self._is_due = False
        return nonsense_of_kind(self._name, self._stage, right)


async def _extracted(stages: Stages) -> ExtractionResult:
    options, ontology = ExtractionOptions(chunk_characters=CHUNK_CHARACTERS), load_ontology(ONTOLOGY, "sample.ttl")
    return await ExtractionPipeline(stages.run_by(_retrying)).run(_DOCUMENT, ontology, options)


async def _retrying(call: StageCall[Result]) -> StageAnswer[Result]:
    """An error that is worth retrying is retried, as the durable task would."""
    for _ in range(_TRIES - 1):
        try:
            return await run_plainly(call)
        except KnowledgeError as error:
            if not error.retryable:
                raise
    return await run_plainly(call)
