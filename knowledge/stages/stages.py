"""The stages, bound to their models; what runs them (plainly or durably) is given from outside."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from knowledge.domain import (
    Chunk,
    Document,
    Extractor,
    FoundEmbeddings,
    FoundEntities,
    FoundEntity,
    FoundMention,
    FoundMentions,
    FoundRelations,
    KnowledgeGraph,
    Stage,
)
from knowledge.ids import ExtractionId, OntologyId, digest_of
from knowledge.ontology import Ontology
from knowledge.ports import EmbeddingModel, ExtractionModel
from knowledge.stages import assembly, chunking, resolution
from knowledge.stages.assembly import Assembly, ChunkFindings
from knowledge.stages.calls import StageAnswer, StageCall, StageRunner, run_plainly

Result = TypeVar("Result")
MENTIONS_VERSION = "1"
ENTITIES_VERSION = "1"
RELATIONS_VERSION = "1"
EMBEDDINGS_VERSION = "1"


@dataclass(frozen=True, slots=True)
class Stages:
    """The seven stages. Each answers with its value and whether that came from a stored result."""

    extraction_model: ExtractionModel
    embedding_model: EmbeddingModel
    runner: StageRunner = run_plainly

    def run_by(self, runner: StageRunner) -> "Stages":
        """The same stages, run by another runner."""
        return replace(self, runner=runner)

    @property
    def identity(self) -> tuple[str, ...]:
        """Changes whenever the same document and ontology could give another graph: versions and models."""
        model = self.extraction_model
        return (
            f"chunk:{chunking.STAGE_VERSION}",
            f"mentions:{MENTIONS_VERSION}:{model.mentions_by.digest}",
            f"entities:{ENTITIES_VERSION}:{model.entities_by.digest}",
            f"relations:{RELATIONS_VERSION}:{model.relations_by.digest}",
            f"embeddings:{EMBEDDINGS_VERSION}:{self.embedding_model.model}",
            f"assemble:{assembly.STAGE_VERSION}",
            f"resolve:{resolution.STAGE_VERSION}",
        )

    async def chunk(self, document: Document, max_characters: int) -> StageAnswer[tuple[Chunk, ...]]:
        """The document's chunks (see `chunking.chunk_document`)."""
        return await self._unkept(
            Stage.CHUNK, lambda: chunking.chunk_document(document, max_characters), tuple[Chunk, ...]
        )

    async def mentions(self, chunk: Chunk, ontology: Ontology) -> StageAnswer[FoundMentions]:
        """The chunk's mentions, chunk-relative."""
        by = self.extraction_model.mentions_by
        return await self._asked(
            Stage.MENTIONS,
            chunk,
            (MENTIONS_VERSION, by.digest, ontology.digest, chunk.text),
            FoundMentions,
            lambda: self.extraction_model.find_mentions(chunk.text, ontology),
        )

    async def entities(
        self, chunk: Chunk, mentions: tuple[FoundMention, ...], ontology: Ontology
    ) -> StageAnswer[FoundEntities]:
        """The things that the chunk's mentions mean."""
        by = self.extraction_model.entities_by
        return await self._asked(
            Stage.ENTITIES,
            chunk,
            (ENTITIES_VERSION, by.digest, ontology.digest, chunk.text, repr(mentions)),
            FoundEntities,
            lambda: self.extraction_model.find_entities(chunk.text, mentions, ontology),
        )

    async def relations(
        self,
        chunk: Chunk,
        mentions: tuple[FoundMention, ...],
        entities: tuple[FoundEntity, ...],
        ontology: Ontology,
    ) -> StageAnswer[FoundRelations]:
        """The facts that the chunk states about its entities."""
        by = self.extraction_model.relations_by
        return await self._asked(
            Stage.RELATIONS,
            chunk,
            (RELATIONS_VERSION, by.digest, ontology.digest, chunk.text, repr(mentions), repr(entities)),
            FoundRelations,
            lambda: self.extraction_model.find_relations(chunk.text, mentions, entities, ontology),
        )

    async def embeddings(
        self, chunk: Chunk, entities: tuple[FoundEntity, ...], ontology: Ontology
    ) -> StageAnswer[FoundEmbeddings]:
        """One vector for each entity of the chunk, made from its name and class."""
        texts = tuple(_embedding_text(entity, ontology) for entity in entities)
        model = self.embedding_model.model
        return await self._asked(
            Stage.EMBEDDINGS,
            chunk,
            (EMBEDDINGS_VERSION, model, *texts),
            FoundEmbeddings,
            lambda: self._embed(texts),
        )

    async def assemble(self, findings: Sequence[ChunkFindings]) -> StageAnswer[Assembly]:
        """All findings in document offsets (see `assembly.assemble`)."""
        return await self._unkept(Stage.ASSEMBLE, lambda: assembly.assemble(findings), Assembly)

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
            lambda: resolution.resolve(found, document, ontology, ontology_id, extraction_id),
            KnowledgeGraph,
        )

    async def _embed(self, texts: tuple[str, ...]) -> FoundEmbeddings:
        embedded = await self.embedding_model.embed(texts)
        return FoundEmbeddings(texts, embedded.vectors, self.embedding_model.model, embedded.usage)

    async def _asked(
        self,
        stage: Stage,
        chunk: Chunk,
        identity: tuple[str, ...],
        result_type: type[Result],
        run: Callable[[], Awaitable[Result]],
    ) -> StageAnswer[Result]:
        key = (stage.value, digest_of(*identity))
        return await self.runner(
            StageCall(stage, f"{chunk.index:05d}", f"{stage} {chunk.index + 1}", key, result_type, run)
        )

    async def _unkept(self, stage: Stage, run: Callable[[], Result], result_type: type[Result]) -> StageAnswer[Result]:
        """Pure and quick: computed in a thread, and anew each time."""
        return await self.runner(
            StageCall(stage, "document", stage.value, (), result_type, lambda: asyncio.to_thread(run))
        )

    def extractors(self) -> tuple[Extractor, ...]:
        """Who answers, in the order of the stages."""
        model = self.extraction_model
        return (model.mentions_by, model.entities_by, model.relations_by)


def _embedding_text(entity: FoundEntity, ontology: Ontology) -> str:
    names = (ontology.get_class(iri) for iri in entity.classes)
    classes = ", ".join(item.name for item in names if item)
    return f"{entity.name} ({classes})" if classes else entity.name
