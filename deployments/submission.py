"""Submitting documents: read and refused or stored here, then one flow run of `extraction/default` for each."""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from prefect.client.orchestration import PrefectClient

from knowledge.documents import document_name
from knowledge.domain import Document, WorkflowExecutionState
from knowledge.errors import InputRefused, InvalidId
from knowledge.ids import FlowRunId, OrganizationId
from knowledge.pipeline import ExtractionOptions
from knowledge.settings import Settings
from tables.ledger import Ledger
from tables.session import Database
from tasks.ceiling import SpendCeiling
from tasks.inputs import Inputs, StoredOntology
from tasks.locations import read_file
from tasks.starting import DEPLOYMENT, AskedFor, start_extraction


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What `knowledge run` was asked for. Paths are the user's own: no allowed roots apply to them."""

    documents: tuple[Path, ...]
    ontology: Path
    organization: str
    options: ExtractionOptions
    review: bool = False
    ceiling: SpendCeiling = field(default_factory=SpendCeiling)


@dataclass(frozen=True, slots=True)
class Submitted:
    """A document under way as a flow run, or refused with an execution that says why."""

    path: Path
    organization_id: OrganizationId
    document: Document | None = None
    ontology: StoredOntology | None = None
    flow_run_id: FlowRunId | None = None
    refused: WorkflowExecutionState | None = None


class Submitter:
    """Submits for one organisation."""

    def __init__(self, client: PrefectClient, database: Database, settings: Settings) -> None:
        self._client = client
        self._database = database
        self._settings = settings

    async def submit(self, request: RunRequest) -> tuple[Submitted, ...]:
        """One flow run for each document; what is refused is recorded and starts nothing."""
        try:
            organization_id = OrganizationId(request.organization)
        except InvalidId as error:
            # A name that cannot be an organisation's has no rows of its own to be recorded in.
            return tuple([await self._refuse(OrganizationId("default"), path, error) for path in request.documents])
        inputs = Inputs(self._database, organization_id, self._settings.documents)
        try:
            data = read_file(request.ontology, str(request.ontology), self._settings.documents.max_bytes)
            ontology = await asyncio.to_thread(inputs.store_ontology, data, request.ontology.name)
        except InputRefused as error:
            return tuple([await self._refuse(organization_id, path, error) for path in request.documents])
        return tuple([await self._submit(path, inputs, ontology, request) for path in request.documents])

    async def _submit(
        self,
        path: Path,
        inputs: Inputs,
        ontology: StoredOntology,
        request: RunRequest,
    ) -> Submitted:
        organization_id = inputs.organization_id
        try:
            data = read_file(path, str(path), self._settings.documents.max_bytes)
            document = await asyncio.to_thread(inputs.store_document, data, document_name(str(path)), str(path))
        except InputRefused as error:
            return await self._refuse(organization_id, path, error)
        deployment = await self._client.read_deployment_by_name(DEPLOYMENT)
        flow_run_id = await self._start(deployment.id, document, ontology, request)
        return Submitted(path, organization_id, document, ontology, flow_run_id)

    async def _start(
        self, deployment_id: UUID, document: Document, ontology: StoredOntology, request: RunRequest
    ) -> FlowRunId:
        asked = AskedFor(document, ontology.id, request.options, request.review, request.ceiling)
        return await start_extraction(self._client, deployment_id, asked)

    async def _refuse(self, organization_id: OrganizationId, path: Path, error: InputRefused) -> Submitted:
        ledger = Ledger(self._database, organization_id)
        parameters: dict[str, object] = {"document": str(path)}
        state = await asyncio.to_thread(ledger.refuse, document_name(str(path)), parameters, error.message)
        return Submitted(path, organization_id, refused=state)
