"""The flow behind `inbox/default`: new and changed documents of a folder are put into a batch."""

from typing import Annotated, Any, Literal

from prefect import flow, get_run_logger
from pydantic import Field

from knowledge.batches import FailurePolicy
from knowledge.ids import OrganizationId
from knowledge.pipeline import ExtractionOptions
from knowledge.settings import Settings
from tasks.batch_request import BatchRequest
from tasks.inboxes import empty_inbox

ORGANIZATION_PATTERN = f"^{OrganizationId.pattern.pattern}$"


@flow(name="inbox", validate_parameters=True, persist_result=False)
async def inbox(
    folder: Annotated[str, Field(min_length=1, max_length=2000)],
    ontology: Annotated[str, Field(min_length=1, max_length=2000)],
    organization: Annotated[str, Field(pattern=ORGANIZATION_PATTERN)] = "default",
    quiet_seconds: Annotated[float, Field(ge=0, le=86_400)] = 10.0,
    max_in_flight: Annotated[int, Field(ge=1, le=1000)] = 8,
    on_failure: Literal["continue", "retry"] = "continue",
    retract_missing: bool = False,
    options: ExtractionOptions = ExtractionOptions(),  # noqa: B008 -- frozen
) -> dict[str, Any]:
    """Looks into a folder and has what is new or changed there extracted by `extraction-batch/default`.

    It starts nothing while the folder is as it was. As many as one likes may look at once.

    Args:
        folder: A directory that the worker may read; sub-directories are looked into.
        ontology: A stored ontology's id (ont_…), or a path or URL of an OWL or RDFS file.
        organization: Whose documents they are: a slug such as `acme`.
        quiet_seconds: Files that were changed less than so many seconds ago are still being written.
        max_in_flight: How many extractions are under way at once; workers may run fewer.
        on_failure: A document that fails: go on without it until it is changed, or try it up to three times before.
        retract_missing: Take out of the graph what is not in the folder any more.
        options: How the documents are read; the defaults suit most.
    """
    request = BatchRequest(
        OrganizationId(organization),
        (folder,),
        ontology,
        options,
        max_in_flight,
        FailurePolicy(on_failure),
        retract_missing,
        quiet_seconds,
    )
    found = await empty_inbox(request, Settings())
    get_run_logger().info("%s", found)
    return found
