"""What a run is given by reference: ids of stored things, paths, URLs. All refusals happen here, before any model."""

import asyncio
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

import httpx

from knowledge.documents import document_name
from knowledge.domain import Document
from knowledge.errors import InputRefused, LocationRefused
from knowledge.ids import DocumentId, OntologyId, OrganizationId
from knowledge.ontology import Ontology, load_ontology
from knowledge.readers import read_document
from knowledge.settings import DocumentSettings
from tables.documents import OntologySource, load_document, load_ontology_source, store_document, store_ontology
from tables.session import Database
from tasks.locations import allowed_path, is_url, read_file

_FETCH_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class StoredOntology:
    """An ontology, and the id under which its organisation has it."""

    id: OntologyId
    ontology: Ontology


class Inputs:
    """Reads what an organisation's runs refer to, from its tables or from the allowed roots, and stores it."""

    def __init__(self, database: Database, organization_id: OrganizationId, settings: DocumentSettings) -> None:
        self._database = database
        self.organization_id = organization_id
        self._settings = settings

    async def document(self, reference: str, name: str | None = None) -> Document:
        """The document with this id, or at this path or URL; the latter are stored first, under `name` if given.

        Raises:
            InputRefused: not readable from here, or not a document to extract from.
            NotFound: the organisation has no document with this id.
        """
        if is_document_id(reference):
            document_id = DocumentId(reference)
            return await asyncio.to_thread(load_document, self._database, self.organization_id, document_id)
        data = await self.read(reference)
        return await asyncio.to_thread(self.store_document, data, name or document_name(reference), reference)

    async def ontology(self, reference: str) -> StoredOntology:
        """The ontology with this id, or at this path or URL; the latter are stored first.

        Raises:
            InputRefused: not readable from here, or not an ontology to extract with.
            NotFound: the organisation has no ontology with this id.
        """
        if reference.startswith(f"{OntologyId.prefix}_"):
            ontology_id = OntologyId(reference)
            source = await asyncio.to_thread(load_ontology_source, self._database, self.organization_id, ontology_id)
            ontology = await asyncio.to_thread(load_ontology, source.content, source.name)
            return StoredOntology(ontology_id, ontology)
        data = await self.read(reference)
        return await asyncio.to_thread(self.store_ontology, data, _file_name(reference))

    def store_document(self, data: bytes, name: str, source: str) -> Document:
        """The document in these bytes, stored; the same text again is the same document.

        Raises:
            DocumentRefused, ConfigurationError: see `knowledge.readers.read_document`.
        """
        read = read_document(data, name, source, self._settings.max_bytes)
        document = Document.of(self.organization_id, name, read.text, source)
        store_document(self._database, document, media_type=read.media_type)
        return document

    def store_ontology(self, data: bytes, name: str) -> StoredOntology:
        """The ontology in these bytes, stored.

        Raises:
            OntologyRefused: see `knowledge.ontology.load_ontology`.
        """
        ontology = load_ontology(data, name, max_bytes=self._settings.max_bytes)
        source = OntologySource.of(self.organization_id, name, PurePosixPath(name).suffix, data, ontology.digest)
        return StoredOntology(store_ontology(self._database, source), ontology)

    async def read(self, location: str) -> bytes:
        """The bytes at a path or URL, or a little more than are accepted of those that are too many.

        Raises:
            InputRefused: not readable from here.
        """
        if not location.strip() or "\0" in location:
            raise InputRefused("no document or ontology is named: give an id, a path or a URL")
        if is_url(location):
            return await self._fetch(location)
        return await asyncio.to_thread(self._read_file, location)

    def _read_file(self, location: str) -> bytes:
        return read_file(allowed_path(location, self._settings), location, self._settings.max_bytes)

    async def _fetch(self, location: str) -> bytes:
        if not any(_is_below(location, root) for root in self._settings.allowed_roots if is_url(root)):
            raise LocationRefused(
                location, "is below none of the URLs this installation may read (KNOWLEDGE_DOCUMENTS__ALLOWED_ROOTS)"
            )
        # Redirects are not followed: they would lead out of the allowed roots.
        async with httpx.AsyncClient(timeout=_FETCH_TIMEOUT_SECONDS, follow_redirects=False) as client:
            try:
                async with client.stream("GET", location) as response:
                    response.raise_for_status()
                    return await _body(response, location, self._settings.max_bytes)
            except httpx.HTTPError as error:
                raise LocationRefused(location, f"cannot be fetched ({error})") from error


def is_document_id(reference: str) -> bool:
    """Whether a reference to a document means one that is stored."""
    return reference.startswith(f"{DocumentId.prefix}_")


async def _body(response: httpx.Response, location: str, max_bytes: int) -> bytes:
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > max_bytes:
            raise LocationRefused(location, f"has more than {max_bytes:,} bytes (KNOWLEDGE_DOCUMENTS__MAX_BYTES)")
    return bytes(body)


def _is_below(location: str, root: str) -> bool:
    """Whether a URL has the root's origin and lies below its path, `..` and escapes taken into account."""
    there, allowed = urlsplit(location), urlsplit(root)
    if (there.scheme.lower(), there.netloc.lower()) != (allowed.scheme.lower(), allowed.netloc.lower()):
        return False
    path, prefix = unquote(there.path), unquote(allowed.path)
    return ".." not in path.split("/") and (path == prefix or path.startswith(prefix.rstrip("/") + "/"))


def _file_name(location: str) -> str:
    path = urlsplit(location).path if is_url(location) else location
    return path.rstrip("/").rsplit("/", 1)[-1] or location
