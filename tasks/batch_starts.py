"""The beginning of a batch's documents: read and identified here, then reused, refused, or given a flow run."""

import asyncio
from dataclasses import replace
from uuid import UUID

from prefect.client.orchestration import PrefectClient

from knowledge.batches import Batch, BatchDocument, DocumentState, moved, start_key
from knowledge.errors import InputRefused, NotFound
from knowledge.pipeline import ExtractionOptions, ExtractionPipeline
from tables.batches import BatchStore
from tasks.inputs import Inputs, StoredOntology
from tasks.sources import look_of
from tasks.starting import DEPLOYMENT, AskedFor, start_extraction


class Starter:
    """Begins one document at a time. No text is kept: a document's is stored, and read again by its flow run."""

    def __init__(self, client: PrefectClient, store: BatchStore, inputs: Inputs, pipeline: ExtractionPipeline) -> None:
        self._client = client
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
        options = ExtractionOptions.model_validate(dict(batch.options))
        # Before it is read: a file that changes meanwhile will look changed.
        document = replace(document, seen=await asyncio.to_thread(look_of, document.location, document.ontology))
        try:
            read = await self._inputs.document(document.location, document.name)
            ontology = await self._ontology(document.ontology)
        except (InputRefused, NotFound) as error:
            return moved(document, DocumentState.FAILED, error=error.message)
        identified = replace(
            document,
            document_id=read.id,
            ontology_id=ontology.id,
            extraction_id=self._pipeline.extraction_id(read, ontology.ontology, options),
        )
        there = moved(identified, DocumentState.COMPLETED, reused=True)
        if await asyncio.to_thread(self._store.reuse, there):
            return there
        asked = AskedFor(read, ontology.id, options, name=document.name)
        key = start_key(identified, batch.options)
        flow_run_id = await start_extraction(self._client, await self._deployment(), asked, key)
        return replace(identified, flow_run_id=flow_run_id)

    async def _ontology(self, reference: str) -> StoredOntology:
        if reference not in self._ontologies:
            self._ontologies[reference] = await self._inputs.ontology(reference)
        return self._ontologies[reference]

    async def _deployment(self) -> UUID:
        if self._deployment_id is None:
            self._deployment_id = (await self._client.read_deployment_by_name(DEPLOYMENT)).id
        return self._deployment_id
