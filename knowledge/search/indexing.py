"""Indexing: what was published last, and is not in the search index yet, gets there; what it supersedes goes."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from knowledge.domain import KnowledgeGraph, Usage
from knowledge.ids import ExecutionId, ExtractionId, OrganizationId, SegmentId
from knowledge.ontology import Ontology
from knowledge.search.embedding import EmbeddingService, IndexedModel, IndexRefused, Vector, VectorCache
from knowledge.search.entries import Entry, SegmentContent, segment_content


@dataclass(frozen=True, slots=True)
class Unindexed:
    """An extraction whose latest execution is not in the index under a model."""

    extraction_id: ExtractionId
    execution_id: ExecutionId


@dataclass(frozen=True, slots=True)
class IndexReport:
    """What an indexing did: segments, entries and vectors written, and what the vectors took."""

    model: str
    segments: int = 0
    entries: int = 0
    reused: int = 0
    removed: int = 0
    usage: Usage = field(default_factory=Usage)

    def as_json(self) -> dict[str, object]:
        """The object that `index --json` prints."""
        return {
            "model": self.model,
            "segments": self.segments,
            "entries": self.entries,
            "reused_vectors": self.reused,
            "removed_segments": self.removed,
            "embedding_calls": self.usage.embedding_calls,
            "input_tokens": self.usage.input_tokens,
        }


class IndexStore(VectorCache, Protocol):
    """The search index of one organisation, as indexing writes it."""

    @property
    def organization_id(self) -> OrganizationId:
        """Whose index it is."""
        ...

    def models(self) -> tuple[IndexedModel, ...]:
        """The models whose vectors the index holds, sorted by name."""
        ...

    def unindexed(self, model: str) -> tuple[Unindexed, ...]:
        """The latest extractions that are not, or not as last executed, complete under `model`; sorted."""
        ...

    def load(self, extraction_id: ExtractionId) -> tuple[KnowledgeGraph, Ontology]:
        """The published graph, and the ontology it was read with."""
        ...

    def begin(self, found: Unindexed, model: str, dimensions: int, content: SegmentContent) -> SegmentId:
        """A segment for the extraction, in place of an earlier one that says something else.

        Raises:
            IndexRefused: the model has vectors of other dimensions in this index.
        """
        ...

    def add(self, segment_id: SegmentId, entries: Sequence[tuple[Entry, Vector]], model: str) -> None:
        """Writes entries; those that are there already stay."""
        ...

    def finish(self, segment_id: SegmentId, content: SegmentContent) -> None:
        """Writes the segment's names and words: it is complete."""
        ...

    def remove_superseded(self, model: str | None) -> int:
        """Removes segments of extractions that are not the latest, and with `model` those of others; how many."""
        ...


class Indexer:
    """Brings one organisation's index up to date."""

    def __init__(self, store: IndexStore, embedding: EmbeddingService) -> None:
        self._store = store
        self._embedding = embedding

    async def index(self, *, reembed: bool = False) -> IndexReport:
        """Indexes what is missing. Run again after a kill, it asks for no vector that is stored.

        With `reembed`, vectors of other models are replaced: the old ones serve until the new ones are complete,
        and are removed then.

        Raises:
            IndexRefused: the index holds vectors of another model, and `reembed` is false.
        """
        model = self._embedding.model
        present = await asyncio.to_thread(self._store.models)
        others = [one for one in present if one.model != model]
        if others and not reembed:
            raise IndexRefused(self._store.organization_id, others, model)
        report = IndexReport(model)
        for missing in await asyncio.to_thread(self._store.unindexed, model):
            report = _sum(report, await self._index(missing))
        removed = await asyncio.to_thread(self._store.remove_superseded, model)
        return _sum(report, IndexReport(model, removed=removed))

    async def _index(self, found: Unindexed) -> IndexReport:
        graph, ontology = await asyncio.to_thread(self._store.load, found.extraction_id)
        content = await asyncio.to_thread(segment_content, graph, ontology)
        model = self._embedding.model
        cache = _Cache(self._store, {(e.model, e.text): e.vector for e in graph.embeddings}, content.entries)
        texts = {entry.digest: entry.text for entry in content.entries}
        by_digest: dict[str, list[Entry]] = {}
        for entry in content.entries:
            by_digest.setdefault(entry.digest, []).append(entry)
        segment: SegmentId | None = None
        lock = asyncio.Lock()

        async def keep(vectors: Mapping[str, Vector]) -> None:
            nonlocal segment
            pairs = [(entry, vector) for digest, vector in vectors.items() for entry in by_digest[digest]]
            async with lock:
                if segment is None:
                    dimensions = len(pairs[0][1])
                    segment = await asyncio.to_thread(self._store.begin, found, model, dimensions, content)
                await asyncio.to_thread(self._store.add, segment, pairs, model)

        embedded = await self._embedding.embed(texts, cache, keep)
        if embedded.vectors:
            await keep(embedded.vectors)
        if segment is not None:
            await asyncio.to_thread(self._store.finish, segment, content)
        return IndexReport(model, 1, len(content.entries), embedded.reused, 0, embedded.usage)


@dataclass(frozen=True, slots=True)
class _Cache:
    """The vectors that came with the graph, then those in the index."""

    store: IndexStore
    published: Mapping[tuple[str, str], Vector]
    entries: Sequence[Entry]

    def known(self, model: str, digests: Sequence[str]) -> Mapping[str, Vector]:
        wanted = set(digests)
        found = {
            entry.digest: self.published[model, entry.text]
            for entry in self.entries
            if entry.digest in wanted and (model, entry.text) in self.published
        }
        return {**self.store.known(model, sorted(wanted - set(found))), **found}


def _sum(a: IndexReport, b: IndexReport) -> IndexReport:
    return IndexReport(
        a.model,
        a.segments + b.segments,
        a.entries + b.entries,
        a.reused + b.reused,
        a.removed + b.removed,
        a.usage + b.usage,
    )
