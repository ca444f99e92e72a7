"""The flow behind `extraction/default`: references in, a published graph and its summary out."""

from functools import partial
from typing import Annotated, Any

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Cancelled
from pydantic import Field

from knowledge.documents import document_name
from knowledge.errors import ExecutionCancelled
from knowledge.ids import DocumentId, FlowRunId, OrganizationId
from knowledge.pipeline import ExtractionOptions
from knowledge.settings import Settings
from tasks.ceiling import SpendCeiling
from tasks.execution import ExtractionRequest, execute
from tasks.run_view import RunView
from tasks.summary import present_for_review, publish_summary, summary_of

ORGANIZATION_PATTERN = f"^{OrganizationId.pattern.pattern}$"


def name_run() -> str:
    """The run's name for people: as submitted, or after the file for a run started with a path or URL."""
    document = str(flow_run.get_parameters()["document"])
    given = flow_run.get_name() or document
    return given if document.startswith(f"{DocumentId.prefix}_") else document_name(document)


@flow(name="extraction", validate_parameters=True, persist_result=False)
async def extraction(
    document: Annotated[str, Field(min_length=1, max_length=2000)],
    ontology: Annotated[str, Field(min_length=1, max_length=2000)],
    organization: Annotated[str, Field(pattern=ORGANIZATION_PATTERN)] = "default",
    options: ExtractionOptions = ExtractionOptions(),  # noqa: B008 -- frozen
    review: bool = False,
    ceiling: SpendCeiling = SpendCeiling(),  # noqa: B008 -- frozen
) -> dict[str, Any] | State:
    """Turns a document into an ontology-typed knowledge graph with evidence for every fact.

    The graph is published to PostgreSQL. Model answers are kept by content: a run that is started again, or a
    second run over the same text, asks only what was never answered.

    Args:
        document: A stored document's id (doc_…), or a path or URL that the worker may read.
        ontology: A stored ontology's id (ont_…), or a path or URL of an OWL or RDFS file.
        organization: Whose document it is, and whose graph it becomes: a slug such as `acme`.
        options: How the document is read; the defaults suit most.
        ceiling: What the run may spend on models; it is held when that is reached, and goes on when it is resumed.
        review: Hold the run before it publishes, until somebody approves or rejects what it found.
    """
    logger, settings = get_run_logger(), Settings()
    flow_run_id = FlowRunId(str(flow_run.get_id()))
    view = RunView(flow_run_id, logger.info, name=name_run(), reports_url=settings.reports_url)
    request = ExtractionRequest(OrganizationId(organization), document, ontology, options, review, ceiling)
    try:
        extracted = await execute(request, flow_run_id, settings, view, partial(present_for_review, view))
    except ExecutionCancelled as stop:
        return Cancelled(message=stop.message)
    await publish_summary(view, extracted)
    logger.info("%s", summary_of(extracted))
    return {"execution_id": extracted.execution_id}
