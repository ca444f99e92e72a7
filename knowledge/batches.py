"""Batches: many documents read with one ontology, and how far each of them is.

A batch is known by what it was asked for (sources and ontology), so starting it again goes on with it. Each start is
a pass over the sources: what is new or changed is extracted, what is unchanged stays.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from itertools import pairwise

from knowledge.domain import ExecutionStatus, Stage
from knowledge.errors import KnowledgeError
from knowledge.ids import (
    BatchDocumentId,
    BatchId,
    DocumentId,
    ExecutionId,
    ExtractionId,
    FlowRunId,
    OntologyId,
    OrganizationId,
    digest_of,
)


class DocumentState(StrEnum):
    """Where a document of a batch stands."""

    PENDING = "pending"
    CHUNKING = "chunking"
    EXTRACTING_MENTIONS = "extracting_mentions"
    EXTRACTING_ENTITIES = "extracting_entities"
    EXTRACTING_RELATIONS = "extracting_relations"
    EMBEDDING = "embedding"
    ASSEMBLING = "assembling"
    RESOLVING = "resolving"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether nothing more happens to the document in this pass."""
        return self in {DocumentState.COMPLETED, DocumentState.FAILED, DocumentState.CANCELLED}


class FailurePolicy(StrEnum):
    """What a document that fails does to its batch."""

    CONTINUE = "continue"
    """The others go on."""
    ABORT = "abort"
    """Nothing more is begun, what runs is cancelled, and the batch fails."""
    RETRY = "retry"
    """It is extracted again, twice at most; then as `continue`."""


class InvalidTransition(KnowledgeError):
    """A step that the states of a document do not allow."""

    def __init__(self, current: DocumentState, wanted: DocumentState) -> None:
        super().__init__(f"a document that is {current} cannot become {wanted}")
        self.current = current
        self.wanted = wanted


_WAY = tuple(state for state in DocumentState if not state.is_final)
_ENDS = frozenset({DocumentState.FAILED, DocumentState.CANCELLED})
_STEPS: Mapping[DocumentState, frozenset[DocumentState]] = {
    **{state: frozenset({following}) | _ENDS for state, following in pairwise(_WAY)},
    DocumentState.RESOLVING: _ENDS | {DocumentState.COMPLETED},
    # The next pass, or another attempt.
    **{state: frozenset({DocumentState.PENDING}) for state in DocumentState if state.is_final},
}
_STATE_OF_STAGE: Mapping[Stage | None, DocumentState] = {
    None: DocumentState.CHUNKING,
    Stage.CHUNK: DocumentState.CHUNKING,
    Stage.MENTIONS: DocumentState.EXTRACTING_MENTIONS,
    Stage.ENTITIES: DocumentState.EXTRACTING_ENTITIES,
    Stage.RELATIONS: DocumentState.EXTRACTING_RELATIONS,
    Stage.EMBEDDINGS: DocumentState.EMBEDDING,
    Stage.ASSEMBLE: DocumentState.ASSEMBLING,
    Stage.RESOLVE: DocumentState.RESOLVING,
    Stage.PUBLISH: DocumentState.RESOLVING,
}
_STATE_OF_END: Mapping[ExecutionStatus, DocumentState] = {
    ExecutionStatus.COMPLETED: DocumentState.COMPLETED,
    ExecutionStatus.FAILED: DocumentState.FAILED,
    ExecutionStatus.CANCELLED: DocumentState.CANCELLED,
}


def steps(current: DocumentState, wanted: DocumentState) -> tuple[DocumentState, ...]:
    """The states from `current` (exclusive) to `wanted` (inclusive), each allowed after the one before; empty if equal.

    A document that is looked at from time to time is not seen in every state, but it has gone through each.

    Raises:
        InvalidTransition: there is no such way: backwards, or from one end to another.
    """
    if current is wanted:
        return ()
    if wanted in _STEPS[current]:
        return (wanted,)
    ahead = _WAY[_WAY.index(current) + 1 :] if current in _WAY else ()
    if wanted in ahead:
        return ahead[: ahead.index(wanted) + 1]
    if wanted is DocumentState.COMPLETED and ahead:
        return (*ahead, wanted)
    raise InvalidTransition(current, wanted)


def state_of_execution(status: ExecutionStatus, stage: Stage | None) -> DocumentState:
    """Where the document of an execution stands, by the ledger; `stage` is the furthest that has said something."""
    return _STATE_OF_END.get(status) or _STATE_OF_STAGE[stage]


def furthest(current: DocumentState, seen: DocumentState) -> DocumentState:
    """Of two states of one extraction the later: a resumed execution begins again with what its predecessor did."""
    if current in _WAY and seen in _WAY:
        return max(current, seen, key=_WAY.index)
    return seen


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch, as it was last asked for. `passes` counts its starts; `execution_id` is the latest's."""

    id: BatchId
    organization_id: OrganizationId
    name: str
    sources: tuple[str, ...]
    ontology: str
    options: Mapping[str, object]
    max_in_flight: int
    on_failure: FailurePolicy
    retract_missing: bool
    quiet_seconds: float
    passes: int = 0
    flow_run_id: FlowRunId | None = None
    execution_id: ExecutionId | None = None


@dataclass(frozen=True, slots=True)
class BatchDocument:
    """A document's place in a batch, and where it stands in pass number `last_pass`.

    `document_id`, `ontology_id` and `extraction_id` are what is wanted of it now; `published_id` and
    `published_with_id` name the content that it has put into the graph and that has not been retracted.
    `reused` says that nothing was to be done for it; `seen` is how its file looked when it was read last, and
    `digest` (SHA-256, hexadecimal) of the bytes that gave `published_id`.
    """

    id: BatchDocumentId
    organization_id: OrganizationId
    batch_id: BatchId
    location: str
    name: str
    ontology: str
    state: DocumentState
    last_pass: int
    attempt: int
    reused: bool
    seen: str
    digest: str
    error: str | None
    document_id: DocumentId | None
    ontology_id: OntologyId | None
    extraction_id: ExtractionId | None
    flow_run_id: FlowRunId | None
    published_id: DocumentId | None
    published_with_id: OntologyId | None
    retracted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Listed:
    """A document that a batch's sources name: by path, URL or document id; `ontology` is a reference, too."""

    location: str
    name: str
    ontology: str

    def id_in(self, batch_id: BatchId) -> BatchDocumentId:
        """Its place in the batch."""
        return BatchDocumentId.derive(batch_id, self.location, self.ontology)


@dataclass(frozen=True, slots=True)
class BatchCounts:
    """The documents of a batch's latest pass in numbers; `missing` ones of earlier passes are still in the graph."""

    by_state: Mapping[DocumentState, int]
    reused: int
    missing: int

    @property
    def total(self) -> int:
        """How many documents the latest pass has."""
        return sum(self.by_state.values())

    @property
    def ended(self) -> int:
        """How many of them have come to an end."""
        return sum(number for state, number in self.by_state.items() if state.is_final)

    def as_json(self) -> dict[str, int]:
        """By state, without those that no document is in."""
        counts = {state.value: self.by_state[state] for state in DocumentState if self.by_state.get(state)}
        return {"documents": self.total, **counts, "reused": self.reused, "missing": self.missing}


def moved(document: BatchDocument, state: DocumentState, **changes: object) -> BatchDocument:
    """The document in another state, with other changes to it.

    Raises:
        InvalidTransition: see `steps`.
    """
    steps(document.state, state)
    return replace(document, state=state, **changes)  # pyright: ignore[reportArgumentType]


def batch_id_of(organization_id: OrganizationId, sources: tuple[str, ...], ontology: str) -> BatchId:
    """The id of the batch of these sources, in whatever order, read with this ontology (both as references)."""
    return BatchId.derive(organization_id, ontology, *sorted(set(sources)))


def start_key(document: BatchDocument, options: Mapping[str, object]) -> str:
    """The idempotency key of the flow run that extracts a document of a batch.

    It is made of the batch, the document's content and ontology, the options and the numbers of pass and attempt: who
    asks Prefect for the run again is given the one that is there.
    """
    chosen = (f"{name}={value}" for name, value in sorted(options.items()))
    content = (str(document.document_id), str(document.ontology_id), str(document.extraction_id))
    number = (str(document.last_pass), str(document.attempt))
    return f"batch-{digest_of(document.id, *content, *number, *chosen)[:32]}"
