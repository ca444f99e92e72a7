"""The states of a batch's documents, and what names batches, documents and their flow runs."""

from dataclasses import replace
from itertools import pairwise, product

import pytest

from knowledge.batches import (
    BatchDocument,
    DocumentState,
    InvalidTransition,
    Listed,
    batch_id_of,
    furthest,
    moved,
    start_key,
    state_of_execution,
    steps,
)
from knowledge.domain import ExecutionStatus, Stage
from knowledge.ids import BatchDocumentId, BatchId, DocumentId, ExtractionId, OntologyId, OrganizationId

_ORGANIZATION = OrganizationId("acme")
_BATCH = BatchId.derive("batch")
_WAY = [
    *("pending", "chunking", "extracting_mentions", "extracting_entities", "extracting_relations"),
    *("embedding", "assembling", "resolving"),
]
_ENDS = ("completed", "failed", "cancelled")


def _allowed(current: str, wanted: str) -> bool:
    """The rules, written down a second time: forward, to any end, from an end back to pending, or nowhere."""
    if current == wanted:
        return True
    if current in _ENDS:
        return wanted == "pending"
    return wanted in _ENDS or _WAY.index(wanted) > _WAY.index(current)


@pytest.mark.parametrize(("current", "wanted"), list(product(DocumentState, DocumentState)))
def test_a_document_moves_forward_to_an_end_and_from_an_end_back_to_pending(
    current: DocumentState, wanted: DocumentState
) -> None:
    """All 121 pairs: what is not allowed is refused, and what is allowed goes through every state on the way."""
    if not _allowed(current, wanted):
        with pytest.raises(InvalidTransition, match=f"{current} cannot become {wanted}"):
            steps(current, wanted)
        return
    way = [current, *steps(current, wanted)]
    assert way[-1] is wanted
    for before, after in pairwise(way):
        is_next = before in _WAY and after in _WAY and _WAY.index(after) == _WAY.index(before) + 1
        is_end = after in _ENDS[1:] or (before, after) == ("resolving", "completed")
        assert is_next or is_end or (before in _ENDS and after == "pending")


def test_every_stage_and_end_of_an_execution_is_a_state() -> None:
    """A stage that is added to the pipeline must be given a state."""
    seen = [state_of_execution(ExecutionStatus.RUNNING, stage) for stage in (None, *Stage)]
    assert [state.value for state in dict.fromkeys(seen)] == _WAY[1:]
    ends = [status for status in ExecutionStatus if status.is_final]
    assert [state_of_execution(status, Stage.CHUNK).value for status in ends] == list(_ENDS)


def test_a_resumed_execution_does_not_take_its_document_back() -> None:
    """It begins again with the first stage, out of what is stored."""
    assert furthest(DocumentState.EMBEDDING, DocumentState.CHUNKING) is DocumentState.EMBEDDING
    assert furthest(DocumentState.CHUNKING, DocumentState.EMBEDDING) is DocumentState.EMBEDDING
    assert furthest(DocumentState.CHUNKING, DocumentState.FAILED) is DocumentState.FAILED


def document(location: str = "/a.txt", **changes: object) -> BatchDocument:
    """A document of a batch, identified and pending."""
    found = BatchDocument(
        id=BatchDocumentId.derive(_BATCH, location),
        organization_id=_ORGANIZATION,
        batch_id=_BATCH,
        location=location,
        name="a",
        ontology="/o.ttl",
        state=DocumentState.PENDING,
        last_pass=1,
        attempt=1,
        reused=False,
        seen="",
        digest="",
        error=None,
        document_id=DocumentId.derive("text"),
        ontology_id=OntologyId.derive("ontology"),
        extraction_id=ExtractionId.derive("extraction"),
        flow_run_id=None,
        published_id=None,
        published_with_id=None,
        retracted_at=None,
    )
    return replace(found, **changes)  # pyright: ignore[reportArgumentType]


def test_a_move_is_checked() -> None:
    """No code changes a state in passing."""
    assert moved(document(), DocumentState.FAILED, error="no").error == "no"
    with pytest.raises(InvalidTransition):
        moved(document(state=DocumentState.RESOLVING), DocumentState.CHUNKING)


def test_a_batch_is_named_by_its_sources_in_any_order_and_its_ontology() -> None:
    """Asking for the same again is the same batch; for anything else, or by anybody else, another one."""
    one = batch_id_of(_ORGANIZATION, ("/a", "/b"), "/o.ttl")
    assert one == batch_id_of(_ORGANIZATION, ("/b", "/a", "/a"), "/o.ttl")
    others = {
        batch_id_of(_ORGANIZATION, ("/a",), "/o.ttl"),
        batch_id_of(_ORGANIZATION, ("/a", "/b"), "/p.ttl"),
        batch_id_of(OrganizationId("beta"), ("/a", "/b"), "/o.ttl"),
    }
    assert len(others | {one}) == 4


def test_a_document_is_known_by_its_place_and_ontology_not_by_its_name() -> None:
    """A manifest may name one file twice, read with two ontologies."""
    one = Listed("/a.txt", "a", "/o.ttl").id_in(_BATCH)
    assert one == Listed("/a.txt", "renamed", "/o.ttl").id_in(_BATCH)
    assert one != Listed("/a.txt", "a", "/p.ttl").id_in(_BATCH)


def test_the_flow_run_of_a_document_is_the_same_until_something_decisive_changes() -> None:
    """A process that takes over from a dead one is given the flow run that the dead one had made."""
    options = {"strict": False, "chunk_characters": 4000}
    key = start_key(document(), options)
    assert key == start_key(document(name="renamed", seen="now"), dict(reversed(options.items())))
    changed = [
        start_key(document(document_id=DocumentId.derive("other")), options),
        start_key(document(ontology_id=OntologyId.derive("other")), options),
        start_key(document(extraction_id=ExtractionId.derive("other")), options),
        start_key(document(attempt=2), options),
        start_key(document(last_pass=2), options),
        start_key(document("/b.txt"), options),
        start_key(document(), {**options, "strict": True}),
    ]
    assert len({key, *changed}) == 8
