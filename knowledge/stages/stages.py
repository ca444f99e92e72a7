"""The stages, bound to their models; what runs them (plainly or durably) is given from outside."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from knowledge.domain import (
    Chunk,
    Document,
    Extractor,
    KnowledgeGraph,
    Stage,
)
from knowledge.findings import FoundEmbeddings, FoundEntities, FoundEntity, FoundMentions, FoundRelations
from knowledge.ids import ExtractionId, OntologyId, digest_of
from knowledge.ontology import Ontology
from knowledge.ports import EmbeddingModel, ExtractionModel
from knowledge.stages import assembly, chunking, entities, mentions, relations, resolution
from knowledge.stages.assembly import Assembly, ChunkFindings
from knowledge.stages.calls import CallExpecter, StageAnswer, StageCall, StageRunner, expect_nothing, run_plainly
from knowledge.stages.confidence import UNKNOWN_MODEL, Calibration

Result = TypeVar("Result")
EMBEDDINGS_VERSION = "1"


@dataclass(frozen=True, slots=True)
class Stages:
    """The stages. Each answers with its value and whether that came from a stored result."""

    extraction_model: ExtractionModel
    embedding_model: EmbeddingModel
    calibration: Calibration = UNKNOWN_MODEL
    runner: StageRunner = run_plainly
    expecter: CallExpecter = expect_nothing

    def run_by(self, runner: StageRunner, expecter: CallExpecter | None = None) -> "Stages":
        """The same stages, run by another runner, which is told of what comes by `expecter`."""
        return replace(self, runner=runner, expecter=expecter or self.expecter)

    @property
    def identity(self) -> tuple[str, ...]:
        """Changes whenever the same document and ontology could give another graph: versions and models."""
        return (
            f"chunk:{chunking.STAGE_VERSION}",
            f"mentions:{mentions.STAGE_VERSION}:{self.extraction_model.extractor.digest}",
            f"entities:{entities.STAGE_VERSION}",
            f"relations:{relations.STAGE_VERSION}",
            f"embeddings:{EMBEDDINGS_VERSION}:{self.embedding_model.model}",
            f"assemble:{assembly.STAGE_VERSION}",
            f"resolve:{resolution.STAGE_VERSION}:{self.calibration.digest}",
        )

    async def chunk(
        self, document: Document, max_characters: int, lead_characters: int
    ) -> StageAnswer[tuple[Chunk, ...]]:
        """The document's chunks (see `chunking.chunk_document`)."""
        return await self._unkept(
            Stage.CHUNK,
            None,
            lambda: chunking.chunk_document(document, max_characters, lead_characters),
            tuple[Chunk, ...],
        )

    async def mentions(self, chunk: Chunk, ontology: Ontology) -> StageAnswer[FoundMentions]:
        """What the chunk's passage names, and what the model says about it in the same answer.

        The one question to the extraction model; entities and relations are made from its answer.
        """
        return await self.runner(self._question(chunk, ontology))

    async def expect_mentions(self, chunks: Sequence[Chunk], ontology: Ontology) -> None:
        """All of these chunks will be asked about, as far as they have not been."""
        await self.expecter([self._question(chunk, ontology) for chunk in chunks])

    def _question(self, chunk: Chunk, ontology: Ontology) -> StageCall[FoundMentions]:
        model = self.extraction_model
        return _asked(
            Stage.MENTIONS,
            chunk,
            (mentions.STAGE_VERSION, model.extractor.digest, ontology.digest, chunk.passage),
            FoundMentions,
            lambda: model.read(chunk.passage, ontology),
        )

    async def entities(self, chunk: Chunk, found: FoundMentions, ontology: Ontology) -> StageAnswer[FoundEntities]:
        """The things that the mentions name (see `entities.find_entities`)."""
        return await self._unkept(
            Stage.ENTITIES, chunk, lambda: entities.find_entities(chunk.passage, found, ontology), FoundEntities
        )

    async def relations(
        self, chunk: Chunk, found: FoundMentions, named: FoundEntities, ontology: Ontology
    ) -> StageAnswer[FoundRelations]:
        """The facts about those things, with their evidence (see `relations.find_relations`)."""
        return await self._unkept(
            Stage.RELATIONS,
            chunk,
            lambda: relations.find_relations(chunk.passage, found, named.entities, ontology),
            FoundRelations,
        )

    async def embeddings(self, chunk: Chunk, named: FoundEntities, ontology: Ontology) -> StageAnswer[FoundEmbeddings]:
        """One vector for each entity of the chunk, made from its name and class."""
        texts = tuple(_embedding_text(entity, ontology) for entity in named.entities)
        model = self.embedding_model.model
        return await self.runner(
            _asked(
                Stage.EMBEDDINGS,
                chunk,
                (EMBEDDINGS_VERSION, model, *texts),
                FoundEmbeddings,
                lambda: self._embed(texts),
            )
        )

    async def assemble(self, findings: Sequence[ChunkFindings]) -> StageAnswer[Assembly]:
        """All findings in document offsets (see `assembly.assemble`)."""
        return await self._unkept(Stage.ASSEMBLE, None, lambda: assembly.assemble(findings), Assembly)

    async def resolve(
        self,
        found: Assembly,
        document: Document,
        ontology: Ontology,
        ontology_id: OntologyId,
        extraction_id: ExtractionId,
    ) -> StageAnswer[KnowledgeGraph]:
        """The document's graph (see `resolution.resolve`)."""
        return await self._unkept(
            Stage.RESOLVE,
            None,
            lambda: resolution.resolve(found, document, ontology, ontology_id, extraction_id, self.calibration),
            KnowledgeGraph,
        )

    async def _embed(self, texts: tuple[str, ...]) -> FoundEmbeddings:
        embedded = await self.embedding_model.embed(texts)
        return FoundEmbeddings(texts, embedded.vectors, self.embedding_model.model, embedded.usage)

    async def _unkept(
        self, stage: Stage, chunk: Chunk | None, run: Callable[[], Result], result_type: type[Result]
    ) -> StageAnswer[Result]:
        """Pure and quick: computed in a thread, and anew each time; for a chunk, or for the whole document."""
        return await self.runner(
            StageCall(stage, *_item(stage, chunk), (), result_type, lambda: asyncio.to_thread(run))
        )

    def extractors(self) -> tuple[Extractor, ...]:
        """Who answers."""
        return (self.extraction_model.extractor,)


def _asked(
    stage: Stage,
    chunk: Chunk,
    identity: tuple[str, ...],
    result_type: type[Result],
    run: Callable[[], Awaitable[Result]],
) -> StageCall[Result]:
    return StageCall(stage, *_item(stage, chunk), (stage.value, digest_of(*identity)), result_type, run)


def _item(stage: Stage, chunk: Chunk | None) -> tuple[str, str]:
    """What a stage works on, and what people call that."""
    return (f"{chunk.index:05d}", f"{stage} {chunk.index + 1}") if chunk else ("document", stage.value)


def _embedding_text(entity: FoundEntity, ontology: Ontology) -> str:
    names = (ontology.get_class(iri) for iri in entity.classes)
    classes = ", ".join(item.name for item in names if item)
    return f"{entity.name} ({classes})" if classes else entity.name
