"""Links between the documents of an organisation: found as they come in, kept, undone for good."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from knowledge.domain import Document, Entity, KnowledgeGraph
from knowledge.errors import NotFound
from knowledge.ids import EntityId, ExecutionId, ExtractionId, LinkId, OrganizationId
from knowledge.linking import LinkStatus
from tables.documents import store_document
from tables.graph_store import publish
from tables.links import link_entities, load_links, set_link_status
from tables.retraction import retract
from tables.session import Database


def _publish(
    database: Database, organization_id: OrganizationId, like: KnowledgeGraph, name: str, *labels: str
) -> KnowledgeGraph:
    """Another document of the organisation, in whose graph there are things with these labels."""
    document = Document.of(organization_id, name, f"{name}: {', '.join(labels)}")
    store_document(database, document)
    extraction = ExtractionId.derive(document.id, "ontology")
    entities = (Entity(EntityId.derive(extraction, label), label, ("urn:Person",)) for label in labels)
    graph = replace(
        like,
        extraction_id=extraction,
        document_id=document.id,
        entities=tuple(sorted(entities, key=lambda entity: entity.id)),
        mentions=(),
        relations=(),
        embeddings=(),
    )
    publish(database, organization_id, graph, ExecutionId.new())
    return graph


def _link(database: Database, organization_id: OrganizationId, graph: KnowledgeGraph) -> int:
    return link_entities(database, organization_id, graph.extraction_id, ExecutionId.new())


def test_a_new_document_is_linked_to_those_before_it(
    database: Database, organization_id: OrganizationId, graph: KnowledgeGraph
) -> None:
    """Each thing of one name, and nothing else; the first document has nobody to be linked to."""
    publish(database, organization_id, graph, ExecutionId.new())
    assert _link(database, organization_id, graph) == 0
    second = _publish(database, organization_id, graph, "second", "Ada Lovelace", "Grace Hopper")
    assert _link(database, organization_id, second) == 1
    (link,) = load_links(database, organization_id)
    ada = {e.id for found in (graph, second) for e in found.entities if e.label == "Ada Lovelace"}
    assert {link.entity_id, link.other_id} == ada
    assert (link.status, link.reasons) == (LinkStatus.ACCEPTED, ("both are called Ada Lovelace",))
    assert _link(database, organization_id, second) == 0


def test_two_who_link_the_same_at_once_do_not_disturb_each_other(
    database: Database, organization_id: OrganizationId, graph: KnowledgeGraph
) -> None:
    """A batch's last pass links what an execution has just published, too: one of them finds the links."""
    _link(database, organization_id, _publish(database, organization_id, graph, "first", "Ada Lovelace"))
    second = _publish(database, organization_id, graph, "second", "Ada Lovelace", "Charles Babbage")

    def link_again(linked: KnowledgeGraph) -> int:
        return _link(database, organization_id, linked)

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(link_again, [second] * 8))
    assert sorted(found) == [0] * 7 + [1]


def test_a_link_that_was_undone_stays_undone(
    database: Database, organization_id: OrganizationId, graph: KnowledgeGraph
) -> None:
    """What somebody knows better is not unlearned by reading again; both graphs are as they were."""
    first = _publish(database, organization_id, graph, "first", "Ada Lovelace")
    second = _publish(database, organization_id, graph, "second", "Ada Lovelace")
    _link(database, organization_id, first)
    _link(database, organization_id, second)
    (link,) = load_links(database, organization_id, LinkStatus.ACCEPTED)
    set_link_status(database, organization_id, link.id, LinkStatus.UNDONE)
    assert _link(database, organization_id, second) == 0
    assert load_links(database, organization_id, LinkStatus.ACCEPTED) == ()
    (undone,) = load_links(database, organization_id)
    assert undone.status is LinkStatus.UNDONE


def test_organisations_are_never_linked(
    database: Database, organization_id: OrganizationId, graph: KnowledgeGraph
) -> None:
    """Not even where both speak of the same person; nor can one see or undo the other's links."""
    stranger = OrganizationId(f"{organization_id}-x")
    _link(database, organization_id, _publish(database, organization_id, graph, "first", "Ada Lovelace"))
    _link(database, organization_id, _publish(database, organization_id, graph, "second", "Ada Lovelace"))
    (link,) = load_links(database, organization_id)
    assert load_links(database, stranger) == ()
    with pytest.raises(NotFound):
        set_link_status(database, stranger, link.id, LinkStatus.UNDONE)


def test_what_has_been_retracted_is_no_candidate_until_it_is_read_again(
    database: Database, organization_id: OrganizationId, graph: KnowledgeGraph
) -> None:
    """Its names go with it and come back with it."""
    first = _publish(database, organization_id, graph, "first", "Ada Lovelace")
    _link(database, organization_id, first)
    with database.org_session(organization_id) as session:
        assert retract(session, organization_id, first.document_id, first.ontology_id, "test")
    second = _publish(database, organization_id, graph, "second", "Ada Lovelace")
    assert _link(database, organization_id, second) == 0
    publish(database, organization_id, first, ExecutionId.new())
    assert _link(database, organization_id, first) == 1
    third = _publish(database, organization_id, graph, "third", "Ada Lovelace")
    assert _link(database, organization_id, third) == 2


def test_another_extraction_of_the_document_is_no_other_document(
    database: Database, organization_id: OrganizationId, graph: KnowledgeGraph
) -> None:
    """Two models' readings of one document say the same of the same things."""
    first = _publish(database, organization_id, graph, "first", "Ada Lovelace")
    _link(database, organization_id, first)
    extraction = ExtractionId.derive(first.document_id, "another model")
    (ada,) = first.entities
    again = replace(
        first, extraction_id=extraction, entities=(replace(ada, id=EntityId.derive(extraction, ada.label)),)
    )
    publish(database, organization_id, again, ExecutionId.new())
    assert _link(database, organization_id, again) == 0


def test_what_is_not_there_is_not_found(database: Database, organization_id: OrganizationId) -> None:
    """A wrong id is an error, not a silence."""
    with pytest.raises(NotFound):
        link_entities(database, organization_id, ExtractionId.derive("none"), ExecutionId.new())
    with pytest.raises(NotFound):
        set_link_status(database, organization_id, LinkId.derive("none"), LinkStatus.UNDONE)
