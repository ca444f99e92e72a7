"""Retention: what is over, in our tables and in Prefect's history, is pruned by age and count, for everybody."""

import asyncio
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.objects import FlowRun

from knowledge.ids import FlowRunId, OrganizationId
from knowledge.retention import RetentionPolicy
from tables.organization_rows import organizations
from tables.oversight import executions_of
from tables.pruning import Pruned, Pruner
from tables.session import Database
from tasks.prefect_history import ended_runs, remove_run


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """What went, or in a dry run would go; None for `flow_runs` where Prefect was not looked at."""

    organizations: Mapping[OrganizationId, Pruned] = field(default_factory=dict[OrganizationId, Pruned])
    flow_runs: int | None = None
    dry_run: bool = False

    @property
    def rows(self) -> Pruned:
        """Over all organisations."""
        return sum(self.organizations.values(), Pruned())

    def lines(self) -> tuple[str, ...]:
        """The same for people."""
        rows, verb = self.rows, "would go" if self.dry_run else "gone"
        return (
            f"executions: {rows.executions} {verb}; of {rows.shortened} that graphs rest on, the details",
            f"attempts, signals, progress: {rows.details} {verb}",
            f"answers of models: {rows.answers} {verb}",
            f"rows marked as deleted: {rows.deleted} {verb}",
            "Prefect's flow runs: " + ("not looked at" if self.flow_runs is None else f"{self.flow_runs} {verb}"),
        )

    def as_json(self) -> dict[str, object]:
        """One object, with an entry for each organisation of which something went."""
        mine = {owner: asdict(pruned) for owner, pruned in self.organizations.items() if pruned != Pruned()}
        return {**asdict(self.rows), "flow_runs": self.flow_runs, "dry_run": self.dry_run, "organizations": mine}


def prune_rows(
    database: Database, policy: RetentionPolicy, now: datetime, *, dry_run: bool = False
) -> dict[OrganizationId, Pruned]:
    """What went of each organisation that has executions.

    Each is pruned under its own row security: whoever prunes needs no rights beyond those of a worker.

    Raises:
        StoreUnavailable, ConfigurationError: as `Database.org_session`.
    """
    owners = organizations(database)
    return {owner: Pruner(database, owner, policy, dry_run=dry_run).prune(now) for owner in owners}


async def prune_history(
    client: PrefectClient, database: Database, policy: RetentionPolicy, now: datetime, *, dry_run: bool = False
) -> int:
    """Removes our flow runs that ended long enough ago, unless their execution has not; how many.

    Raises:
        httpx.HTTPError, PrefectHTTPStatusError: Prefect's API did not answer; what was removed by then is.
        StoreUnavailable: the database did not answer.
    """
    if policy.history is None:
        return 0
    removed = 0
    async for page in ended_runs(client, now - policy.history):
        needed = await asyncio.to_thread(_unfinished, database, page)
        for run in page:
            if FlowRunId(str(run.id)) not in needed:
                removed += 1
                if not dry_run:
                    await remove_run(client, run.id)
    return removed


def _unfinished(database: Database, runs: list[FlowRun]) -> set[FlowRunId | None]:
    found = executions_of(database, [FlowRunId(str(run.id)) for run in runs])
    return {each.flow_run_id for each in found if not each.status.is_final}


async def prune(
    client: PrefectClient | None, database: Database, policy: RetentionPolicy, now: datetime, *, dry_run: bool = False
) -> RetentionReport:
    """Prunes the tables, and then Prefect's history where there is a `client`. Two at once are harmless.

    Raises:
        As `prune_rows` and `prune_history`.
    """
    pruned = await asyncio.to_thread(prune_rows, database, policy, now, dry_run=dry_run)
    removed = None if client is None else await prune_history(client, database, policy, now, dry_run=dry_run)
    return RetentionReport(pruned, removed, dry_run)
