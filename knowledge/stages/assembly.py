"""Assemble: what was found chunk by chunk becomes one set of document-relative nodes and facts."""

from collections.abc import Sequence
from dataclasses import dataclass

from knowledge.domain import (
    Chunk,
    Extractor,
    FoundEmbeddings,
    FoundEntities,
    FoundMentions,
    FoundRelations,
    Literal,
    Span,
)

STAGE_VERSION = "1"


@dataclass(frozen=True, slots=True)
class ChunkFindings:
    """All stages' answers for a chunk; a stage that failed for it, and those after it, have none."""

    chunk: Chunk
    mentions: FoundMentions | None = None
    entities: FoundEntities | None = None
    relations: FoundRelations | None = None
    embeddings: FoundEmbeddings | None = None


@dataclass(frozen=True, slots=True)
class NodeMention:
    """A mention in document offsets."""

    span: Span
    text: str
    chunk: Chunk
    extractor: Extractor


@dataclass(frozen=True, slots=True)
class Node:
    """An entity as one chunk has it."""

    name: str
    classes: tuple[str, ...]
    mentions: tuple[NodeMention, ...]
    vector: tuple[float, ...] | None
    vector_text: str
    vector_model: str

    @property
    def position(self) -> int:
        """Where it is first mentioned."""
        return self.mentions[0].span.start


@dataclass(frozen=True, slots=True)
class FactEvidence:
    """Evidence in document offsets."""

    span: Span
    chunk: Chunk
    extractor: Extractor


@dataclass(frozen=True, slots=True)
class Fact:
    """A relation between nodes given by index."""

    subject: int
    predicate: str
    object: int | None
    literal: Literal | None
    confidence: float
    evidence: tuple[FactEvidence, ...]


@dataclass(frozen=True, slots=True)
class Assembly:
    """Nodes in order of first mention, and the facts between them; nodes of one thing are not joined yet."""

    nodes: tuple[Node, ...]
    facts: tuple[Fact, ...]


def assemble(findings: Sequence[ChunkFindings]) -> Assembly:
    """The findings of a document's chunks, in order, in document offsets."""
    nodes: list[Node] = []
    facts: list[Fact] = []
    for found in findings:
        first = len(nodes)
        nodes.extend(_nodes(found))
        facts.extend(_facts(found, first))
    return Assembly(tuple(nodes), tuple(facts))


def _nodes(found: ChunkFindings) -> list[Node]:
    if found.mentions is None or found.entities is None:
        return []
    offset = found.chunk.span.start
    vectors = found.embeddings
    nodes: list[Node] = []
    for n, entity in enumerate(found.entities.entities):
        mentions = (found.mentions.mentions[index] for index in entity.mentions)
        placed = tuple(
            NodeMention(m.span.shifted(offset), m.text, found.chunk, found.mentions.extractor) for m in mentions
        )
        vector = (vectors.vectors[n], vectors.texts[n], vectors.model) if vectors else (None, "", "")
        nodes.append(Node(entity.name, entity.classes, placed, *vector))
    return nodes


def _facts(found: ChunkFindings, first: int) -> list[Fact]:
    if found.relations is None:
        return []
    offset = found.chunk.span.start
    extractor = found.relations.extractor
    return [
        Fact(
            first + relation.subject,
            relation.predicate,
            None if relation.object is None else first + relation.object,
            relation.literal,
            relation.confidence,
            tuple(FactEvidence(span.shifted(offset), found.chunk, extractor) for span in relation.evidence),
        )
        for relation in found.relations.relations
    ]
