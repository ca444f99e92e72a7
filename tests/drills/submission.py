"""A document under way: submitted as the API's users do, watched in the ledger, compared at the end."""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from knowledge.build import open_stages
from knowledge.domain import Document, KnowledgeGraph, WorkflowExecutionState
from knowledge.ids import FlowRunId, OrganizationId
from knowledge.ontology import load_ontology
from knowledge.pipeline import ExtractionOptions, ExtractionPipeline
from knowledge.settings import EndpointSettings, Settings
from tables.documents import OntologySource, store_document, store_ontology
from tables.ledger import Ledger
from tests.drills.calls import Call, CallLog
from tests.drills.endpoint import digest_of
from tests.drills.passages import CHUNK_CHARACTERS, MODEL, ONTOLOGY, understanding_model
from tests.drills.stack import DrillStack
from tests.scripted_endpoint import scripted

_DOCUMENT_NAME = "drill"
_ONTOLOGY_NAME = "sample.ttl"


@dataclass(frozen=True, slots=True)
class Job:
    """What is asked for: an organisation's text, and how many chunks are worked on at once."""

    organization_id: OrganizationId
    text: str
    concurrency: int = 8

    @property
    def document(self) -> Document:
        """The text as the organisation's document."""
        return Document.of(self.organization_id, _DOCUMENT_NAME, self.text)

    @property
    def options(self) -> ExtractionOptions:
        """A chunk for each paragraph."""
        return ExtractionOptions(chunk_characters=CHUNK_CHARACTERS)


@dataclass(frozen=True, slots=True)
class Reference:
    """What an undisturbed run gives: the graph, to the id, and the questions it asks, each once."""

    graph: KnowledgeGraph
    questions: frozenset[str]
    chunks: int
    model_calls: int
    embedding_calls: int


def undisturbed(job: Job) -> Reference:
    """The reference: the plain pipeline in this process, on an endpoint of its own that answers at once."""
    return asyncio.run(_undisturbed(job))


async def _undisturbed(job: Job) -> Reference:
    asked: set[str] = set()

    def answer(path: str, body: dict[str, Any]) -> Any:
        asked.add(digest_of(path, body))
        return understanding_model(path, body)

    with scripted(answer) as endpoint:
        remote = EndpointSettings(base_url=endpoint.base_url, model=MODEL)
        async with open_stages(Settings(chat=remote, embedding=remote)) as stages:
            ontology = load_ontology(ONTOLOGY, _ONTOLOGY_NAME)
            result = await ExtractionPipeline(stages).run(job.document, ontology, job.options)
        assert len(endpoint.requests) == len(asked), "two passages ask the same question"
    statistics = result.statistics
    return Reference(
        result.graph, frozenset(asked), statistics.chunks, statistics.model_calls, statistics.embedding_calls
    )


@dataclass(frozen=True, slots=True)
class Run:
    """A job on a stack: its flow run, and its calls in the endpoint's log from `first_call` on.

    Calls with the questions of its `neighbours`, which run at the same time, are not its own.
    """

    stack: DrillStack
    job: Job
    reference: Reference
    flow_run_id: FlowRunId
    log: CallLog
    first_call: int
    neighbours: frozenset[str] = frozenset()

    @property
    def own_calls(self) -> list[Call]:
        """This run's calls so far, in the order of asking."""
        calls = self.log.read().calls[self.first_call :]
        return [call for call in calls if call.digest not in self.neighbours]

    @property
    def asked(self) -> int:
        """How many questions this run has put so far."""
        return len(self.own_calls)

    @property
    def ledger(self) -> Ledger:
        """The organisation's executions."""
        return Ledger(self.stack.database, self.job.organization_id)

    @property
    def state(self) -> WorkflowExecutionState | None:
        """The execution, once it is opened.

        Raises:
            StoreUnavailable: the database is away.
        """
        return self.ledger.find_by_flow_run(self.flow_run_id)


def submit(
    stack: DrillStack, job: Job, log: CallLog, reference: Reference, neighbours: frozenset[str] = frozenset()
) -> Run:
    """The job, as a flow run of `extraction/default`."""
    ontology = load_ontology(ONTOLOGY, _ONTOLOGY_NAME)
    source = OntologySource.of(
        job.organization_id, _ONTOLOGY_NAME, Path(_ONTOLOGY_NAME).suffix, ONTOLOGY, ontology.digest
    )
    parameters = {
        "document": store_document(stack.database, job.document),
        "ontology": store_ontology(stack.database, source),
        "organization": job.organization_id,
        "options": job.options.model_dump(mode="json"),
    }
    deployment: Any = stack.api("GET", "/deployments/name/extraction/default")
    first_call = len(log.read().calls)
    body = {"name": job.organization_id, "parameters": parameters, "tags": [job.organization_id]}
    created: Any = stack.api("POST", f"/deployments/{deployment['id']}/create_flow_run", body)
    return Run(stack, job, reference, FlowRunId(str(created["id"])), log, first_call, neighbours)
