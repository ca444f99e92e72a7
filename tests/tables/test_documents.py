"""Documents and ontologies: stored once, loaded as they came."""

from dataclasses import replace

import pytest
from sqlalchemy import text

from knowledge.domain import Document
from knowledge.errors import DocumentRefused, NotFound
from knowledge.ids import DocumentId, OntologyId, OrganizationId
from tables.documents import OntologySource, load_document, load_ontology_source, store_document, store_ontology
from tables.session import Database


def test_a_document_is_loaded_as_it_was_stored(database: Database, organization_id: OrganizationId) -> None:
    """Offsets are only right if every code point comes back, beyond the BMP and line ends included."""
    document = Document.of(organization_id, "odd", "a\r\n\u2028\U0001f600é e\u0301\t", "odd.txt")
    assert store_document(database, document) == document.id
    assert load_document(database, organization_id, document.id) == document


def test_the_same_text_is_one_document_under_its_first_name(
    database: Database, organization_id: OrganizationId
) -> None:
    """Storing is idempotent: a resumed or repeated run finds the document it knows."""
    first = Document.of(organization_id, "first", "text")
    store_document(database, first)
    assert store_document(database, replace(first, name="second")) == first.id
    assert load_document(database, organization_id, first.id).name == "first"


@pytest.mark.parametrize("bad", ["a\x00b", "\ud800"])
def test_text_that_cannot_be_stored_is_refused(database: Database, organization_id: OrganizationId, bad: str) -> None:
    """The sender learns what is wrong with the text instead of reading a driver's error."""
    with pytest.raises(DocumentRefused, match="'bad' contains NUL"):
        store_document(database, Document.of(organization_id, "bad", bad))


def test_a_deleted_document_is_gone_until_it_is_stored_again(
    database: Database, organization_id: OrganizationId
) -> None:
    """Deletion is a mark, and storing takes it away."""
    document = Document.of(organization_id, "d", "text")
    store_document(database, document)
    with database.org_session(organization_id) as session:
        session.execute(text("UPDATE knowledge.document SET deleted_at = now(), deleted_by = 'me'"))
    with pytest.raises(NotFound):
        load_document(database, organization_id, document.id)
    store_document(database, document)
    assert load_document(database, organization_id, document.id) == document


def test_an_ontology_is_loaded_as_it_came(database: Database, organization_id: OrganizationId) -> None:
    """The worker parses the very bytes that the organisation gave; another layout of the same is the same."""
    source = OntologySource.of(organization_id, "people", ".ttl", b"\x00\xff# people", "a" * 64)
    assert store_ontology(database, source) == source.id
    store_ontology(database, replace(source, content=b"# another layout", name="other"))
    assert load_ontology_source(database, organization_id, source.id) == source


def test_what_another_organisation_stored_is_not_found(database: Database, organization_id: OrganizationId) -> None:
    """Ids are no keys to other organisations' things."""
    document = Document.of(organization_id, "d", "text")
    source = OntologySource.of(organization_id, "o", ".ttl", b"", "b" * 64)
    store_document(database, document)
    store_ontology(database, source)
    stranger = OrganizationId("stranger-documents")
    with pytest.raises(NotFound, match="document"):
        load_document(database, stranger, DocumentId(document.id))
    with pytest.raises(NotFound, match="ontology"):
        load_ontology_source(database, stranger, OntologyId(source.id))
