"""An answer as a value: its sentences and what each cites, how sure it is and why, and how it was reached."""

from dataclasses import dataclass, field
from enum import StrEnum

from knowledge.answers.confidence import Confidence
from knowledge.domain import Extractor, Span, Usage
from knowledge.ids import DocumentId, RelationId

NOT_IN_THE_GRAPH = "That is not in the graph."


class CitationKind(StrEnum):
    """What a citation points at."""

    ENTITY = "entity"
    RELATION = "relation"
    EVIDENCE = "evidence"


@dataclass(frozen=True, slots=True)
class Citation:
    """Something of the graph that backs a sentence: its id and what it says.

    Evidence has the document and the span (code points, half-open) where it stands.
    """

    kind: CitationKind
    id: str
    text: str
    document_id: DocumentId | None = None
    document_name: str = ""
    span: Span | None = None


@dataclass(frozen=True, slots=True)
class AnswerSentence:
    """A sentence and the citations, at least one, that back it."""

    text: str
    citations: tuple[Citation, ...]


@dataclass(frozen=True, slots=True)
class DroppedSentence:
    """A sentence that was left out of an answer, and why."""

    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class TraceStep:
    """A fact that the answer rests on: how many hops from what the question names, over which facts, who says so."""

    relation_id: RelationId
    fact: str
    hops: int
    via: tuple[RelationId, ...]
    said: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What the graph says on a question. Without an answer `sentences` is empty and `reason` says what is missing.

    A question that is not understood says nothing about the graph. `values` are the asked-for ends of the facts, where
    the answer is a list of them. `notes` say what a reader must know about how the answer came about: sentences
    dropped, an endpoint that was away.
    """

    question: str
    by: Extractor
    sentences: tuple[AnswerSentence, ...] = ()
    values: tuple[str, ...] = ()
    confidence: Confidence = field(default_factory=Confidence)
    trace: tuple[TraceStep, ...] = ()
    dropped: tuple[DroppedSentence, ...] = ()
    reason: str = ""
    is_understood: bool = True
    notes: tuple[str, ...] = ()
    usage: Usage = field(default_factory=Usage)

    @property
    def is_answered(self) -> bool:
        """Whether the graph has an answer."""
        return bool(self.sentences)

    @property
    def text(self) -> str:
        """The answer in prose."""
        if not self.is_understood:
            return self.reason
        if not self.sentences:
            return f"{NOT_IN_THE_GRAPH} {self.reason}".strip()
        return " ".join(sentence.text for sentence in self.sentences)
