"""Documents and ontologies of an organisation, each text stored once."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from knowledge.domain import Document
from knowledge.errors import DocumentRefused, NotFound
from knowledge.ids import DocumentId, OntologyId, OrganizationId
from tables.graph import DocumentRow, OntologyRow
from tables.session import Database
from tables.storable import storable_text

_READ_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class OntologySource:
    """An ontology as it was given: `content` in the syntax that `suffix` names; `digest` is of its meaning."""

    id: OntologyId
    organization_id: OrganizationId
    name: str
    suffix: str
    content: bytes
    digest: str

    @classmethod
    def of(cls, organization_id: OrganizationId, name: str, suffix: str, content: bytes, digest: str) -> Self:
        """The source; ontologies of an organisation that mean the same have equal ids."""
        return cls(OntologyId.derive(organization_id, digest), organization_id, name, suffix, content, digest)


def store_document(database: Database, document: Document, *, media_type: str = "text/plain") -> DocumentId:
    """The id of the stored document. A text that the organisation has already keeps its first name and source.

    Raises:
        DocumentRefused: the text has characters that PostgreSQL cannot hold (NUL, lone surrogates).
        StoreUnavailable: the database did not answer.
    """
    if storable_text(document.text) != document.text:
        raise DocumentRefused(document.name, "contains NUL characters or lone surrogates: is it really text?")
    values: dict[str, object] = {
        "organization_id": document.organization_id,
        "id": document.id,
        "name": storable_text(document.name),
        "text": document.text,
        "source": storable_text(document.source),
        "media_type": media_type,
        "characters": len(document.text),
    }
    _insert_or_revive(database, document.organization_id, DocumentRow, values)
    return document.id


def load_document(database: Database, organization_id: OrganizationId, document_id: DocumentId) -> Document:
    """The stored document.

    Raises:
        NotFound: this organisation has no such document.
        StoreUnavailable: the database did not answer.
    """
    query = select(DocumentRow).where(
        DocumentRow.organization_id == organization_id,
        DocumentRow.id == document_id,
        DocumentRow.deleted_at.is_(None),
    )
    with database.org_session(organization_id) as session:
        row = session.scalar(query)
        if row is None:
            raise NotFound("document", document_id)
        return Document(row.id, row.organization_id, row.name, row.text, row.source)


def store_ontology(database: Database, ontology: OntologySource) -> OntologyId:
    """The id of the stored ontology. One that means the same as a stored one leaves that as it is.

    Raises:
        StoreUnavailable: the database did not answer.
    """
    values: dict[str, object] = {
        "organization_id": ontology.organization_id,
        "id": ontology.id,
        "name": storable_text(ontology.name),
        "suffix": ontology.suffix,
        "content": ontology.content,
        "digest": ontology.digest,
    }
    _insert_or_revive(database, ontology.organization_id, OntologyRow, values)
    return ontology.id


def load_ontology_source(
    database: Database, organization_id: OrganizationId, ontology_id: OntologyId
) -> OntologySource:
    """The stored ontology, in the syntax in which it came.

    Raises:
        NotFound: this organisation has no such ontology.
        StoreUnavailable: the database did not answer.
    """
    query = select(OntologyRow).where(
        OntologyRow.organization_id == organization_id,
        OntologyRow.id == ontology_id,
        OntologyRow.deleted_at.is_(None),
    )
    with database.org_session(organization_id) as session:
        row = session.scalar(query)
        if row is None:
            raise NotFound("ontology", ontology_id)
        return OntologySource(row.id, row.organization_id, row.name, row.suffix, row.content, row.digest)


def document_texts(database: Database, organization_id: OrganizationId) -> Iterator[tuple[DocumentId, str]]:
    """All of the organisation's documents, by id.

    Raises:
        StoreUnavailable: the database did not answer.
    """
    row = DocumentRow
    query = select(row.id, row.text).where(row.organization_id == organization_id, row.deleted_at.is_(None))
    with database.org_session(organization_id) as session:
        for found in session.execute(query.order_by(row.id).execution_options(yield_per=_READ_AT_ONCE)):
            yield found.id, found.text


def ontology_sources(database: Database, organization_id: OrganizationId) -> tuple[OntologySource, ...]:
    """All of the organisation's ontologies, by id.

    Raises:
        StoreUnavailable: the database did not answer.
    """
    row = OntologyRow
    query = select(row).where(row.organization_id == organization_id, row.deleted_at.is_(None)).order_by(row.id)
    with database.org_session(organization_id) as session:
        return tuple(
            OntologySource(each.id, each.organization_id, each.name, each.suffix, each.content, each.digest)
            for each in session.scalars(query)
        )


def _insert_or_revive(
    database: Database,
    organization_id: OrganizationId,
    model: type[DocumentRow] | type[OntologyRow],
    values: dict[str, object],
) -> None:
    """A new row; one that is there already stays as it is, but for being deleted."""
    revived = (
        insert(model)
        .values(values)
        .on_conflict_do_update(
            index_elements=["organization_id", "id"],
            set_={"deleted_at": None, "deleted_by": None},
            where=model.deleted_at.is_not(None),
        )
    )
    with database.org_session(organization_id) as session:
        session.execute(revived)
