"""What the stages hand each other for one chunk.

Spans here are relative to the chunk's passage, so that an answer serves wherever the same text occurs again.
"""

from dataclasses import dataclass, field
from enum import IntEnum

from knowledge.domain import Extractor, Literal, Span, Usage

THING = "Thing"
"""What extractors may call the class of a thing that is of none of the ontology's."""


@dataclass(frozen=True, slots=True)
class Rejection:
    """A part of a model's answer that was left out, and why: nothing vanishes silently."""

    reason: str
    item: str


@dataclass(frozen=True, slots=True)
class ListedMention:
    """A mention as an extractor lists it; `start` is a hint only (-1 for none), because models count badly."""

    text: str
    start: int = -1


@dataclass(frozen=True, slots=True)
class ListedThing:
    """A thing as an extractor lists it, with its classes by whatever names.

    Items with one `id` are one thing, and items with different ids are different things.
    """

    id: str
    name: str
    types: tuple[str, ...] = ()
    mentions: tuple[ListedMention, ...] = ()

    @property
    def key(self) -> str:
        """Equal for items that are one thing: ids in any case; without an id, things are told apart by name."""
        return self.id.strip().casefold() or f"name:{self.name.strip().casefold()}"


@dataclass(frozen=True, slots=True)
class Statement:
    """A fact as an extractor states it: about things by their ids, with a predicate by whatever name.

    Who quotes gives the `value` and the `quote` to be found in the passage. Who knows where the passage says it gives
    a `literal` and the `evidence`.
    """

    subject: str
    predicate: str
    object: str = ""
    value: str = ""
    quote: str = ""
    confidence: float = 1.0
    literal: Literal | None = None
    evidence: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class FoundMention:
    """A named place in a passage, and the keys of the listed things that it names, if any.

    Two things may share a mention: `The Three Musketeers` can be said of three films at once. `class_iri` is a first
    guess at a class, if the extractor has one.
    """

    span: Span
    text: str
    class_iri: str | None = None
    things: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FoundMentions:
    """The mentions stage's answer for a chunk: all that the extractor says, with its mentions placed in the passage.

    `mentions` are in order of appearance; `things` and `statements` as listed.
    """

    mentions: tuple[FoundMention, ...]
    things: tuple[ListedThing, ...]
    statements: tuple[Statement, ...]
    extractor: Extractor
    usage: Usage = field(default_factory=Usage)
    rejections: tuple[Rejection, ...] = ()


@dataclass(frozen=True, slots=True)
class FoundEntity:
    """A thing in a passage: its fullest name there, its classes (IRIs), and the indexes of its mentions.

    `key` is that of its listed things, `other_names` are what else it is called.
    """

    name: str
    classes: tuple[str, ...]
    mentions: tuple[int, ...]
    key: str = ""
    other_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FoundEntities:
    """The entities stage's answer for a chunk, in order of first mention."""

    entities: tuple[FoundEntity, ...]
    rejections: tuple[Rejection, ...] = ()


class Support(IntEnum):
    """How the passage bears out a statement; the higher, the better.

    The quotation names both ends, or an end only by a pronoun; or it is not there, but one sentence names both ends.
    """

    UNQUOTED = 0
    UNNAMED = 1
    QUOTED = 2


@dataclass(frozen=True, slots=True)
class FoundRelation:
    """A fact in a passage between entities given by index, or from an entity to a literal.

    `claim` is what its extractor gives for its confidence; `places` are where the passage states it, each time by
    itself.
    """

    subject: int
    predicate: str
    object: int | None
    literal: Literal | None
    claim: float
    evidence: tuple[Span, ...]
    support: Support = Support.QUOTED
    places: tuple[Span, ...] = ()


@dataclass(frozen=True, slots=True)
class FoundRelations:
    """The relations stage's answer for a chunk."""

    relations: tuple[FoundRelation, ...]
    rejections: tuple[Rejection, ...] = ()


@dataclass(frozen=True, slots=True)
class FoundEmbeddings:
    """The embeddings stage's answer for a chunk: `n_texts × dim`, L2-normalised, in the order of `texts`."""

    texts: tuple[str, ...]
    vectors: tuple[tuple[float, ...], ...]
    model: str
    usage: Usage = field(default_factory=Usage)
