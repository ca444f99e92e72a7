"""The frame around a process that works on a flow run: its fence, and how it leaves the run to others."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from prefect.exceptions import Abort

from knowledge.errors import FenceLost
from knowledge.ids import FlowRunId
from tables.fence import Fence
from tables.session import Database
from tasks.interruptions import is_interruption
from tasks.termination import cancelled_by_sigterm

_logger = logging.getLogger(__name__)


@asynccontextmanager
async def fenced(database: Database, flow_run_id: FlowRunId) -> AsyncGenerator[Fence]:
    """The flow run's fence, held while the block runs; SIGTERM cancels the block.

    Raises:
        Abort: another process has the run, or database or Prefect's API are away: the engine leaves the flow run as it
            is and ends the process, and recovery takes the run up.
    """
    fence = Fence(database, flow_run_id)
    try:
        if not await fence.take():
            raise FenceLost("another live process works on this flow run")
        with cancelled_by_sigterm():
            yield fence
    except asyncio.CancelledError as error:
        if fence.is_lost:
            raise _abort(flow_run_id, "the run was given to another process, or ended") from error
        raise
    except Exception as error:
        if is_interruption(error):
            raise _abort(flow_run_id, str(error)) from error
        raise
    finally:
        await fence.release()


def _abort(flow_run_id: FlowRunId, reason: str) -> Abort:
    _logger.warning("this process leaves flow run %s as it is: %s", flow_run_id, reason)
    return Abort(reason)
