"""The beginning of a batch's documents: read and identified here, then reused, refused, or given a flow run."""

import asyncio
import hashlib
from dataclasses import replace
from uuid import UUID

from prefect.client.orchestration import PrefectClient

from knowledge.batches import Batch, BatchDocument, DocumentState, moved, start_key
from knowledge.documents import document_name
from knowledge.errors import ConfigurationError, InputRefused, NotFound
from knowledge.ids import DocumentId
from knowledge.pipeline import ExtractionOptions, ExtractionPipeline
from tables.batches import BatchStore
from tables.documents import load_document
from tables.session import Database
from tasks.inputs import Inputs, StoredOntology, is_document_id
from tasks.sources import look_of
from tasks.starting import DEPLOYMENT, AskedFor, start_extraction


class Starter:
    """Begins one document at a time. No text is kept: a document's is stored, and read again by its flow run."""

    def __init__(
        self,
        client: PrefectClient,
        database: Database,
        store: BatchStore,
        inputs: Inputs,
        pipeline: ExtractionPipeline,
    ) -> None:
        self._client = client
        self._database = database
        self._store = store
        self._inputs = inputs
        self._pipeline = pipeline
        self._ontologies: dict[str, StoredOntology] = {}
        self._deployment_id: UUID | None = None

    async def begin(self, batch: Batch, document: BatchDocument) -> BatchDocument:
        """The document with its flow run; or at its end, because it was refused or has been extracted before.

        Raises:
            StoreUnavailable, httpx.HTTPError, PrefectHTTPStatusError: database or Prefect's API did not answer.
        """
        # Before it is read: a file that changes meanwhile will look changed.
        document = replace(document, seen=await asyncio.to_thread(look_of, document.location, document.ontology))
        try:
            ontology = await self._ontology(document.ontology)
            return await self._begin(batch, document, ontology)
        except (InputRefused, NotFound, ConfigurationError) as error:
            return moved(document, DocumentState.FAILED, error=error.message)

    async def _begin(self, batch: Batch, document: BatchDocument, ontology: StoredOntology) -> BatchDocument:
        options = ExtractionOptions.model_validate(dict(batch.options))

        def identified(document_id: DocumentId, digest: str) -> BatchDocument:
            extraction_id = self._pipeline.extraction_id(document_id, ontology.ontology, options)
            ids = {"document_id": document_id, "ontology_id": ontology.id, "extraction_id": extraction_id}
            return replace(document, digest=digest, **ids)

        if is_document_id(document.location):
            wanted = identified(DocumentId(document.location), "")
        else:
            data = await self._inputs.read(document.location)
            digest = hashlib.sha256(data).hexdigest()
            # The same bytes give the same text: it need not be rendered again.
            if document.digest == digest and document.published_id is not None:
                wanted = identified(document.published_id, digest)
                if (reused := await self._reused(wanted)) is not None:
                    return reused
            name = document.name or document_name(document.location)
            stored = await asyncio.to_thread(self._inputs.store_document, data, name, document.location)
            wanted = identified(stored.id, digest)
        return await self._reused(wanted) or await self._started(batch, wanted, options)

    async def _reused(self, wanted: BatchDocument) -> BatchDocument | None:
        there = moved(wanted, DocumentState.COMPLETED, reused=True)
        return there if await asyncio.to_thread(self._store.reuse, there) else None

    async def _started(self, batch: Batch, wanted: BatchDocument, options: ExtractionOptions) -> BatchDocument:
        assert wanted.document_id is not None
        assert wanted.ontology_id is not None
        read = await asyncio.to_thread(load_document, self._database, batch.organization_id, wanted.document_id)
        asked = AskedFor(read, wanted.ontology_id, options, name=wanted.name)
        key = start_key(wanted, batch.options)
        flow_run_id = await start_extraction(self._client, await self._deployment(), asked, key)
        return replace(wanted, flow_run_id=flow_run_id)

    async def _ontology(self, reference: str) -> StoredOntology:
        if reference not in self._ontologies:
            self._ontologies[reference] = await self._inputs.ontology(reference)
        return self._ontologies[reference]

    async def _deployment(self) -> UUID:
        if self._deployment_id is None:
            self._deployment_id = (await self._client.read_deployment_by_name(DEPLOYMENT)).id
        return self._deployment_id
