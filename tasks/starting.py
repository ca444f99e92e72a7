"""Starting extractions: flow runs of `extraction/default` for stored documents."""

from dataclasses import dataclass, field
from uuid import UUID

from prefect.client.orchestration import PrefectClient

from knowledge.domain import Document
from knowledge.ids import FlowRunId, OntologyId
from knowledge.pipeline import ExtractionOptions
from tasks.ceiling import SpendCeiling

DEPLOYMENT = "extraction/default"


@dataclass(frozen=True, slots=True)
class AskedFor:
    """A document to extract, and how; `name` is what the flow run is called instead of the document's name."""

    document: Document
    ontology_id: OntologyId
    options: ExtractionOptions
    review: bool = False
    ceiling: SpendCeiling = field(default_factory=SpendCeiling)
    name: str = ""


async def start_extraction(
    client: PrefectClient, deployment_id: UUID, asked: AskedFor, idempotency_key: str | None = None
) -> FlowRunId:
    """The flow run, scheduled; for a key that Prefect knows, the one that is there.

    Raises:
        httpx.HTTPError, PrefectHTTPStatusError: Prefect's API did not answer.
    """
    document = asked.document
    run = await client.create_flow_run_from_deployment(
        deployment_id,
        name=asked.name or document.name,
        parameters={
            "document": document.id,
            "ontology": asked.ontology_id,
            "organization": document.organization_id,
            "options": asked.options.model_dump(mode="json"),
            "review": asked.review,
            "ceiling": asked.ceiling.model_dump(mode="json"),
        },
        tags=[document.organization_id],
        idempotency_key=idempotency_key,
    )
    return FlowRunId(str(run.id))
