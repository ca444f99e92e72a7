"""The flow behind `recovery/default`, for installations that do not run `knowledge up`."""

import asyncio
import time

from prefect import flow, get_client, get_run_logger

from knowledge.settings import Settings
from tasks.reconciliation import Reconciler, describe
from tasks.recovery import RecoveryPolicy
from tasks.results import RESULTS_BLOCK, ResultStorage

_LOOK_SECONDS = 2.0


@flow(name="recovery", persist_result=False)
async def recovery() -> int:
    """Resumes runs whose process has died, and makes executions and Prefect's flow runs agree; how many it touched.

    It watches for a little longer than the grace, so that what is dead now is resumed by this very run. Several at
    once do no harm.
    """
    settings, logger, touched = Settings().recovery, get_run_logger(), 0
    storage = await ResultStorage.aload(RESULTS_BLOCK)
    deadline = time.monotonic() + settings.grace_seconds + 2 * _LOOK_SECONDS
    async with get_client() as client:
        policy = RecoveryPolicy(settings.grace_seconds, settings.max_resumes)
        reconciler = Reconciler(client, storage.database, policy)
        while time.monotonic() < deadline:
            done = await reconciler.reconcile()
            touched += len(done)
            if done:
                logger.warning("%s", describe(done))
            await asyncio.sleep(_LOOK_SECONDS)
    return touched
