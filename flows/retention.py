"""The flow behind `retention/default`: what is over is pruned by age and count, for all organisations."""

from datetime import UTC, datetime

from prefect import flow, get_client, get_run_logger

from knowledge.retention import RetentionPolicy
from knowledge.settings import Settings
from tasks.results import RESULTS_BLOCK, ResultStorage
from tasks.retention import prune


@flow(name="retention", persist_result=False)
async def retention(dry_run: bool = False) -> dict[str, object]:
    """Removes finished executions, stored answers, Prefect's history and rows marked as deleted once they are old.

    Graphs and what they rest on stay. How long things are kept is set by KNOWLEDGE_RETENTION__…, in the worker's
    environment.

    Args:
        dry_run: Only count what would go.
    """
    policy = RetentionPolicy.of(Settings().retention)
    storage = await ResultStorage.aload(RESULTS_BLOCK)
    async with get_client() as client:
        report = (await prune(client, storage.database, policy, datetime.now(UTC), dry_run=dry_run)).as_json()
    get_run_logger().info("%s", report)
    return report
