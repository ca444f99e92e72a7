"""The stack's recovery: looks every two seconds for runs whose process has died, and has them taken up again.

`python -m deployments.recovery`. It holds nothing that could be lost: it may be killed and started at any moment,
and run as often as one likes.
"""

import asyncio
import logging
import signal
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial

from prefect.client.orchestration import get_client

from deployments.home import StackHome
from deployments.state import read_state
from knowledge.settings import Settings
from tasks.reconciliation import Reconciler, describe
from tasks.recovery import RecoveryPolicy
from tasks.results import RESULTS_BLOCK, ResultStorage

_LOOK_SECONDS = 2.0
_logger = logging.getLogger(__name__)


async def recover(settings: Settings) -> None:
    """Look until cancelled, whatever does not answer."""
    while True:
        try:
            await _look_again_and_again(settings)
        except Exception:
            # Nobody else would bring the runs back: whatever it was, begin anew.
            _logger.warning("recovery was interrupted, and begins anew", exc_info=True)
            await asyncio.sleep(_LOOK_SECONDS)


async def _look_again_and_again(settings: Settings) -> None:
    policy = RecoveryPolicy(settings.recovery.grace_seconds, settings.recovery.max_resumes)
    async with get_client() as client:
        storage = await ResultStorage.aload(RESULTS_BLOCK, client=client)
        reconciler = Reconciler(client, storage.database, policy, partial(_worker_since, StackHome.of(settings)))
        while True:
            done = describe(await reconciler.reconcile())
            if done:
                print(done, flush=True)
            due = reconciler.next_due_seconds
            await asyncio.sleep(_LOOK_SECONDS if due is None else min(_LOOK_SECONDS, due))


def _worker_since(home: StackHome) -> datetime | None:
    worker = read_state(home.state_file).process("worker")
    return None if worker is None else datetime.fromtimestamp(worker.created_at, UTC)


async def _recover_until_told() -> None:
    work = asyncio.current_task()
    assert work is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, work.cancel)
    with suppress(asyncio.CancelledError):
        await recover(Settings())


if __name__ == "__main__":
    asyncio.run(_recover_until_told())
