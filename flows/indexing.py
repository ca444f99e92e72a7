"""The flow behind `indexing/default`: an organisation's search index brought up to date, or embedded anew."""

from typing import Annotated

from prefect import flow, get_run_logger
from pydantic import Field

from knowledge.ids import OrganizationId
from knowledge.settings import Settings
from tasks.answer_runs import index_graphs

ORGANIZATION_PATTERN = f"^{OrganizationId.pattern.pattern}$"


@flow(name="indexing", validate_parameters=True, persist_result=False)
async def indexing(
    organization: Annotated[str, Field(pattern=ORGANIZATION_PATTERN)] = "default", reembed: bool = False
) -> dict[str, object]:
    """Indexes an organisation's latest graphs for search. Run again after a kill, it pays for nothing twice.

    Args:
        organization: Whose index: a slug such as `acme`.
        reembed: Replace vectors of another embedding model than the configured one; the old ones serve meanwhile.
    """
    report = (await index_graphs(Settings(), OrganizationId(organization), reembed=reembed)).as_json()
    get_run_logger().info("%s", report)
    return report
