"""The pipeline without any workflow: order, exact offsets, failures that stay where they are."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from knowledge.build import open_stages
from knowledge.domain import ExtractionProgress, Stage
from knowledge.errors import ModelUnavailable
from knowledge.ids import OrganizationId
from knowledge.pipeline import CHUNK_STAGES, ExtractionOptions, ExtractionPipeline, ExtractionResult
from knowledge.settings import EndpointSettings, Settings
from knowledge.stages.calls import Result, StageAnswer, StageCall, run_plainly
from tests.sample import NAMESPACE, TEXT, knowing_model, sample_document, sample_ontology
from tests.scripted_endpoint import JSON, Reply, ScriptedEndpoint, chat_reply, scripted

ORGANIZATION = OrganizationId("acme")


async def _extract(
    endpoint: ScriptedEndpoint, text: str = TEXT, options: ExtractionOptions | None = None, concurrency: int = 4
) -> tuple[ExtractionResult, list[ExtractionProgress]]:
    told: list[ExtractionProgress] = []
    remote = EndpointSettings(base_url=endpoint.base_url, model="scripted")
    async with open_stages(Settings(chat=remote, embedding=remote)) as stages:
        pipeline = ExtractionPipeline(stages, told.append, concurrency=concurrency)
        return await pipeline.run(sample_document(ORGANIZATION, text), sample_ontology(), options), told


async def test_a_document_becomes_a_graph_with_evidence_in_document_offsets() -> None:
    """The product: every mention and every piece of evidence is a span of the document."""
    with scripted(knowing_model) as endpoint:
        result, _ = await _extract(endpoint, options=ExtractionOptions(chunk_characters=200))
    graph = result.graph
    assert {e.label for e in graph.entities} == {"Ada Brandt", "Oslo", "Nordlys Prize"}
    assert all(TEXT[m.span.start : m.span.end] == m.text for m in graph.mentions)
    evidence = [e for relation in graph.relations for e in relation.evidence]
    assert all(TEXT[e.span.start : e.span.end] == e.text for e in evidence)
    assert {r.predicate.removeprefix(NAMESPACE) for r in graph.relations} == {"bornIn", "birthDate", "won"}
    assert {len(embedding.vector) for embedding in graph.embeddings} == {3}


async def test_facts_of_a_surname_in_another_chunk_belong_to_the_person() -> None:
    """Chunks are a means; entities are the document's."""
    padding = "\n\n".join("Nothing of note happened in that long year by the sea." for _ in range(8))
    text = TEXT.replace("\n\n", f"\n\n{padding}\n\n")
    with scripted(knowing_model) as endpoint:
        result, _ = await _extract(endpoint, text, ExtractionOptions(chunk_characters=200))
    assert len(result.chunks) > 2
    (person,) = (e for e in result.graph.entities if "Brandt" in e.label)
    assert (person.label, person.aliases) == ("Ada Brandt", ("Brandt",))
    assert {r.subject_id for r in result.graph.relations} == {person.id}


async def test_the_same_document_gives_the_same_graph() -> None:
    """Ids come from content, whatever the order in which answers arrive."""
    with scripted(knowing_model) as endpoint:
        first, _ = await _extract(endpoint)
        second, _ = await _extract(endpoint)
    assert first.graph == second.graph


async def test_each_chunk_goes_through_mentions_entities_relations_and_embeddings() -> None:
    """What the stages of a chunk are called and in which order they come is what runs are watched by."""
    calls: list[tuple[Stage, str, bool]] = []

    async def note(call: StageCall[Result]) -> StageAnswer[Result]:
        calls.append((call.stage, call.item, bool(call.identity)))
        return await run_plainly(call)

    with scripted(knowing_model) as endpoint:
        remote = EndpointSettings(base_url=endpoint.base_url, model="scripted")
        async with open_stages(Settings(chat=remote, embedding=remote)) as stages:
            pipeline = ExtractionPipeline(stages.run_by(note))
            await pipeline.run(sample_document(ORGANIZATION, TEXT), sample_ontology())
    assert calls == [
        (Stage.CHUNK, "document", False),
        (Stage.MENTIONS, "00000", True),
        (Stage.ENTITIES, "00000", False),
        (Stage.RELATIONS, "00000", False),
        (Stage.EMBEDDINGS, "00000", True),
        (Stage.ASSEMBLE, "document", False),
        (Stage.RESOLVE, "document", False),
    ]


async def test_questions_do_not_wait_for_what_is_made_of_earlier_answers() -> None:
    """A resumed run is soon back at what nobody has answered, however much was answered before."""
    asked: list[str] = []
    all_asked = asyncio.Event()

    async def note(call: StageCall[Result]) -> StageAnswer[Result]:
        if call.stage is Stage.MENTIONS:
            asked.append(call.item)
            if len(asked) == 2:
                all_asked.set()
        if call.stage is Stage.ENTITIES:
            await asyncio.wait_for(all_asked.wait(), 10)
        return await run_plainly(call)

    with scripted(knowing_model) as endpoint:
        remote = EndpointSettings(base_url=endpoint.base_url, model="scripted")
        async with open_stages(Settings(chat=remote, embedding=remote)) as stages:
            pipeline = ExtractionPipeline(stages.run_by(note), concurrency=1)
            text = TEXT.replace("\n\n", " It rained." * 12 + "\n\n")
            document = sample_document(ORGANIZATION, text)
            result = await pipeline.run(document, sample_ontology(), ExtractionOptions(chunk_characters=200))
    assert asked == [f"{n:05d}" for n in range(len(result.chunks))]
    assert len(result.graph.relations) == 3


async def test_an_item_that_fails_is_recorded_and_the_rest_goes_on() -> None:
    """One chunk's nonsense costs that chunk's facts, and says so."""

    def answer(path: str, body: JSON) -> Reply:
        return chat_reply("nonsense") if "Nordlys" in str(body.get("messages")) else knowing_model(path, body)

    with scripted(answer) as endpoint:
        options = ExtractionOptions(chunk_characters=200, lead_characters=0)
        result, told = await _extract(endpoint, TEXT.replace("\n\n", " It rained." * 12 + "\n\n"), options)
    assert [(f.stage, f.chunk_index) for f in result.failures] == [(Stage.MENTIONS, 1)]
    assert {p.stage for p in told if (p.completed, p.total) == (2, 2)} == set(CHUNK_STAGES)
    assert len(result.graph.relations) == 2
    assert result.statistics.failed_items == 1


async def test_an_endpoint_that_is_down_fails_the_run_after_what_is_under_way() -> None:
    """Calls under way may be paid for already: they are awaited, and nothing new is begun."""
    with scripted(lambda path, body: Reply({"error": {"message": "down"}}, 503)) as endpoint:
        text = "\n\n".join(
            f"In town number {n} nothing happened, and it happened slowly, day by day." for n in range(80)
        )
        with pytest.raises(ModelUnavailable):
            await _extract(endpoint, text, ExtractionOptions(chunk_characters=200), concurrency=2)
    assert len(endpoint.requests) <= 3


async def test_progress_reaches_every_total_without_going_back() -> None:
    """A bar that goes back is worse than none."""
    with scripted(knowing_model) as endpoint:
        _, told = await _extract(endpoint, options=ExtractionOptions(chunk_characters=200))
    for stage in (Stage.CHUNK, *CHUNK_STAGES, Stage.ASSEMBLE, Stage.RESOLVE):
        fractions = [progress.fraction for progress in told if progress.stage is stage]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0


async def test_usage_is_the_sum_of_the_calls() -> None:
    """What the run cost is known to the call."""
    with scripted(knowing_model) as endpoint:
        result, _ = await _extract(endpoint)
    statistics = result.statistics
    assert (statistics.model_calls, statistics.embedding_calls, statistics.cached_calls) == (1, 1, 0)
    assert (statistics.input_tokens, statistics.output_tokens) == (17, 5)


def test_a_plain_script_needs_no_prefect() -> None:
    """`ExtractionPipeline.run()` works with no workflow at all."""
    script = """
import asyncio, json, sys
from knowledge.build import open_stages
from knowledge.domain import Document
from knowledge.ids import OrganizationId
from knowledge.ontology import load_ontology
from knowledge.pipeline import ExtractionPipeline
from knowledge.settings import EndpointSettings, Settings
from tests.sample import ONTOLOGY, TEXT

async def main(url):
    remote = EndpointSettings(base_url=url, model="scripted")
    async with open_stages(Settings(chat=remote, embedding=remote)) as stages:
        document = Document.of(OrganizationId("acme"), "brandt", TEXT)
        result = await ExtractionPipeline(stages).run(document, load_ontology(ONTOLOGY, "sample.ttl"))
    print(json.dumps({"relations": len(result.graph.relations), "prefect": "prefect" in sys.modules}))

asyncio.run(main(sys.argv[1]))
"""
    with scripted(knowing_model) as endpoint:
        command = [sys.executable, "-c", script, endpoint.base_url]
        root = Path(__file__).parents[2]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True, timeout=60)
    assert json.loads(done.stdout) == {"relations": 3, "prefect": False}
