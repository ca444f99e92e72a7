"""The flow behind `extraction-batch/default`: many documents in, one extraction for each, resolved together."""

from typing import Annotated, Any, Literal

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.runtime import flow_run
from prefect.states import Cancelled
from pydantic import Field

from knowledge.batches import FailurePolicy
from knowledge.errors import ExecutionCancelled
from knowledge.ids import FlowRunId, OrganizationId
from knowledge.pipeline import ExtractionOptions
from knowledge.settings import Settings
from tasks.batch_request import BatchRequest
from tasks.batch_run import run_batch

ORGANIZATION_PATTERN = f"^{OrganizationId.pattern.pattern}$"
Source = Annotated[str, Field(min_length=1, max_length=2000)]


@flow(name="extraction-batch", validate_parameters=True, persist_result=False)
async def extraction_batch(
    sources: Annotated[list[Source], Field(min_length=1, max_length=100_000)],
    ontology: Annotated[str, Field(min_length=1, max_length=2000)],
    organization: Annotated[str, Field(pattern=ORGANIZATION_PATTERN)] = "default",
    options: ExtractionOptions = ExtractionOptions(),  # noqa: B008 -- frozen
    max_in_flight: Annotated[int, Field(ge=1, le=1000)] = 8,
    on_failure: Literal["continue", "abort", "retry"] = "continue",
    retract_missing: bool = False,
    quiet_seconds: Annotated[float, Field(ge=0, le=86_400)] = 0.0,
) -> dict[str, Any] | State:
    """Extracts many documents, each as a run of `extraction/default`, and links what they have in common.

    Started again with the same sources and ontology, a batch goes on: unchanged documents cost nothing, changed ones
    are extracted anew and replace what they said before.

    Args:
        sources: Folders, globs, manifests (.jsonl or .csv with `path`, and optionally `name` and `ontology`), files,
            URLs and ids of stored documents, as the worker may read them.
        ontology: A stored ontology's id (ont_…), or a path or URL of an OWL or RDFS file.
        organization: Whose documents they are: a slug such as `acme`.
        options: How the documents are read; the defaults suit most.
        max_in_flight: How many extractions are under way at once; workers may run fewer.
        on_failure: A document that fails: go on without it, end the batch, or try it up to three times.
        retract_missing: Take out of the graph what the sources do not name any more.
        quiet_seconds: Leave files alone that were changed less than so many seconds ago.
    """
    request = BatchRequest(
        OrganizationId(organization),
        tuple(sources),
        ontology,
        options,
        max_in_flight,
        FailurePolicy(on_failure),
        retract_missing,
        quiet_seconds,
    )
    try:
        outcome = await run_batch(request, FlowRunId(str(flow_run.get_id())), Settings())
    except ExecutionCancelled as stop:
        return Cancelled(message=stop.message)
    summary = {"batch_id": outcome.batch_id, "execution_id": outcome.execution_id, **outcome.counts.as_json()}
    get_run_logger().info("%s", summary)
    return summary
