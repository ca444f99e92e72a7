"""`knowledge prune`: retention by hand."""

import asyncio
from datetime import UTC, datetime

from deployments.database import open_database
from deployments.prefect_api import open_prefect
from knowledge.retention import RetentionPolicy
from knowledge.settings import Settings
from tasks.retention import RetentionReport, prune


def prune_now(settings: Settings, *, dry_run: bool) -> RetentionReport:
    """What went, or in a dry run would go, of all organisations and of Prefect's history, by the settings' rules.

    Raises:
        ConfigurationError: no stack runs and no `DATABASE_URL` is set, or the Prefect API does not answer.
    """
    return asyncio.run(_prune(settings, dry_run=dry_run))


async def _prune(settings: Settings, *, dry_run: bool) -> RetentionReport:
    policy = RetentionPolicy.of(settings.retention)
    with open_database(settings) as database:
        async with open_prefect(settings) as client:
            return await prune(client, database, policy, datetime.now(UTC), dry_run=dry_run)
