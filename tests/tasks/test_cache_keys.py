"""What decides an answer is in its key, and nothing else."""

import pytest

from knowledge.domain import Chunk, Document, Extractor, Span
from knowledge.ids import ChunkId, DocumentId, OrganizationId
from knowledge.models.chat_extraction import ChatExtractionModel
from knowledge.models.openai import ChatClient, OpenAIEmbeddingModel
from knowledge.ontology import Ontology, load_ontology
from knowledge.pipeline import ExtractionOptions, ExtractionPipeline
from knowledge.settings import EndpointSettings
from knowledge.stages.calls import Result, StageAnswer, StageCall
from knowledge.stages.stages import Stages
from tasks.cache_keys import organization_of, result_key
from tests.boundaries import boundary
from tests.sample import ONTOLOGY, TEXT, sample_ontology

ACME = OrganizationId("acme")
KEYED = {"model": "another", "temperature": 0.7}
LEFT_OUT = {
    "base_url": "the same model behind another address gives the same answers",
    "api_key": "who pays does not change the answer",
    "max_concurrency": "how many at once does not change any one answer",
    "requests_per_minute": "nor does how fast they are asked",
    "tokens_per_minute": "nor how much at a time",
    "timeout_seconds": "an answer in time is the same answer",
}


def _stages(**settings: object) -> Stages:
    endpoint = EndpointSettings.model_validate({"base_url": "http://127.0.0.1:9/v1", "model": "m", **settings})
    chat = ChatExtractionModel(ChatClient(endpoint, boundary()))
    return Stages(chat, OpenAIEmbeddingModel(endpoint, boundary()))


def _extractors(**settings: object) -> tuple[Extractor, ...]:
    return _stages(**settings).extractors()


def test_every_setting_of_an_endpoint_is_keyed_or_left_out_on_purpose() -> None:
    """A new setting must be thought about here before it can give stale answers."""
    assert set(EndpointSettings.model_fields) == KEYED.keys() | LEFT_OUT.keys()


@pytest.mark.parametrize("name", KEYED)
def test_a_keyed_setting_changes_the_digest_of_every_question(name: str) -> None:
    """Another model, or another temperature, answers differently."""
    changed = _extractors(**{name: KEYED[name]})
    assert all(a.digest != b.digest for a, b in zip(_extractors(), changed, strict=True))


def test_the_prompt_is_part_of_the_digest() -> None:
    """A reworded prompt asks another question."""
    (asked,) = _extractors()
    assert asked.prompt.startswith("passage.v1@")
    reworded = Extractor(asked.name, asked.model, "passage.v1@0000000000000000", asked.settings)
    assert asked.digest != reworded.digest


async def _key(chunk: Chunk, ontology: Ontology, organization_id: OrganizationId = ACME) -> str:
    keys: list[str] = []

    class Stop(Exception):
        pass

    async def note(call: StageCall[Result]) -> StageAnswer[Result]:
        keys.append(result_key(organization_id, call.identity))
        raise Stop

    with pytest.raises(Stop):
        await _stages().run_by(note).mentions(chunk, ontology)
    return keys[0]


def _chunk(text: str = TEXT, index: int = 0, start: int = 0, lead: str = "") -> Chunk:
    chunk_id = ChunkId.derive(DocumentId.derive("d"), text, str(index))
    return Chunk(chunk_id, index, Span(start, start + len(text)), text, lead)


async def test_text_ontology_and_organisation_change_the_key_and_the_place_does_not() -> None:
    """The same passage elsewhere in a document, or in another one, is the same question."""
    ontology = sample_ontology()
    key = await _key(_chunk(), ontology)
    assert key == await _key(_chunk(index=3, start=700), ontology)
    other_ontology = load_ontology(ONTOLOGY.replace(b'"city"', b'"town"'), "o.ttl")
    others = {
        await _key(_chunk(TEXT + " More."), ontology),
        await _key(_chunk(start=7, lead="Before."), ontology),
        await _key(_chunk(), other_ontology),
        await _key(_chunk(), ontology, OrganizationId("other")),
    }
    assert key not in others
    assert len(others) == 4


async def test_a_key_tells_its_organisation() -> None:
    """The storage opens the right organisation's session from the key alone."""
    assert organization_of(await _key(_chunk(), sample_ontology())) == ACME


def test_every_option_is_part_of_the_extraction_or_left_out_on_purpose() -> None:
    """Two readings of a document that may differ must not overwrite each other."""
    pipeline = ExtractionPipeline(_stages())
    document, ontology = Document.of(ACME, "d", TEXT), sample_ontology()

    def extraction(**options: int) -> str:
        return pipeline.extraction_id(document.id, ontology, ExtractionOptions.model_validate(options))

    assert set(ExtractionOptions.model_fields) == {"chunk_characters", "lead_characters", "strict"}
    others = ({"chunk_characters": 500}, {"lead_characters": 0}, {"strict": True})
    assert len({extraction(), *(extraction(**options) for options in others)}) == 4
