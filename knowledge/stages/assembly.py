"""Assemble: what was found chunk by chunk becomes one set of document-relative nodes and facts."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from knowledge.domain import Chunk, Extractor, Literal, Span
from knowledge.findings import FoundEmbeddings, FoundEntities, FoundMentions, FoundRelations, Support
from knowledge.stages.relations import UNKNOWN_PREDICATE

STAGE_VERSION = "4"


@dataclass(frozen=True, slots=True)
class ChunkFindings:
    """What the stages answered for a chunk; a stage that failed for it, and those after it, have none."""

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
    """An entity as the passage of one chunk has it; `passage` is that chunk's index."""

    name: str
    classes: tuple[str, ...]
    mentions: tuple[NodeMention, ...]
    passage: int
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
    """A relation between nodes given by index, and the places that state it (see `findings.FoundRelation`)."""

    subject: int
    predicate: str
    object: int | None
    literal: Literal | None
    claim: float
    evidence: tuple[FactEvidence, ...]
    support: Support = Support.QUOTED
    places: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class Assembly:
    """Nodes in order of first mention, and the facts between them; nodes of one thing are not joined yet.

    `failed` counts the statements that the text did not bear out.
    """

    nodes: tuple[Node, ...]
    facts: tuple[Fact, ...]
    failed: int = 0


def assemble(findings: Sequence[ChunkFindings]) -> Assembly:
    """The findings of a document's chunks, in order, in document offsets.

    What was found in a lead belongs to the chunk that the place lies in.
    """
    chunks = [found.chunk for found in findings]
    starts = [chunk.span.start for chunk in chunks]
    nodes: list[Node] = []
    facts: list[Fact] = []
    for found in findings:
        if found.mentions is not None:
            place = _Place(found.chunk, found.mentions.extractor, chunks, starts)
            first = len(nodes)
            nodes.extend(_nodes(found, found.mentions, place))
            facts.extend(_facts(found, first, place))
    return Assembly(tuple(nodes), tuple(facts), sum(map(_failed, findings)))


def _failed(found: ChunkFindings) -> int:
    """Statements in other words than the ontology's may well be true: they do not count."""
    rejections = found.relations.rejections if found.relations else ()
    return sum(rejection.reason != UNKNOWN_PREDICATE for rejection in rejections)


@dataclass(frozen=True, slots=True)
class _Place:
    """Turns spans of a chunk's passage into places of the document."""

    chunk: Chunk
    extractor: Extractor
    chunks: Sequence[Chunk]
    starts: Sequence[int]

    def of(self, span: Span) -> tuple[Span, Chunk, Extractor]:
        placed = span.shifted(self.chunk.passage_start)
        return placed, self.chunks[max(0, bisect_right(self.starts, placed.start) - 1)], self.extractor


def _nodes(found: ChunkFindings, mentioned: FoundMentions, place: _Place) -> list[Node]:
    nodes: list[Node] = []
    vectors = found.embeddings
    for n, entity in enumerate(found.entities.entities if found.entities else ()):
        mentions = (mentioned.mentions[index] for index in entity.mentions)
        placed = tuple(_node_mention(m.span, m.text, place) for m in mentions)
        vector = (vectors.vectors[n], vectors.texts[n], vectors.model) if vectors else (None, "", "")
        nodes.append(Node(entity.name, entity.classes, placed, place.chunk.index, *vector))
    return nodes


def _node_mention(span: Span, text: str, place: _Place) -> NodeMention:
    placed, chunk, extractor = place.of(span)
    return NodeMention(placed, text, chunk, extractor)


def _facts(found: ChunkFindings, first: int, place: _Place) -> list[Fact]:
    return [
        Fact(
            first + relation.subject,
            relation.predicate,
            None if relation.object is None else first + relation.object,
            relation.literal,
            relation.claim,
            tuple(FactEvidence(*place.of(span)) for span in relation.evidence),
            relation.support,
            tuple(span.shifted(place.chunk.passage_start) for span in relation.places),
        )
        for relation in (found.relations.relations if found.relations else ())
    ]
