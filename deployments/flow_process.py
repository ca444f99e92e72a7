"""A forked flow process, from its first instruction to its last."""

import atexit
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from uuid import UUID

import psutil

FLOW_RUN_VARIABLE = "PREFECT__FLOW_RUN_ID"
_FLUSH_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Order:
    """A flow run to run: the environment names it, and `directory` is its working directory.

    `flow_run` and `deployment` are what the worker has just read of them, as JSON; empty, they are read anew.
    """

    environment: Mapping[str, str]
    directory: str
    flow_run: bytes = b""
    deployment: bytes = b""


def run_flow_runs(order: Order, is_retuned: bool, orders: Connection) -> None:
    """Run the flow run that is ordered, and then those that are ordered through `orders`, one after another.

    After each the process says how much memory it takes (bytes), and waits. It exits when nobody is there any more to
    order anything, and, as `python -m prefect.engine` does, with a run that was not simply run to its end.

    `is_retuned`: Prefect's settings are others than those of the process that this one was forked from. All that are
    ordered have the same.
    """
    os.setsid()
    try:
        _run(order, is_retuned)
        while (following := _following(orders)) is not None:
            _run(following, is_retuned=False)
    finally:
        _end()


def _end() -> None:
    # A forked process ends without what an interpreter does at its end: Prefect sends its last logs then.
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]


def _run(order: Order, is_retuned: bool) -> None:
    _name_process(f"knowledge: flow run {order.environment[FLOW_RUN_VARIABLE]}")
    os.environ.clear()
    os.environ.update(order.environment)
    os.chdir(order.directory)

    from prefect.context import refresh_global_settings_context

    from deployments.flow_engine import run
    from deployments.outbox import flush, send_together
    from deployments.settings_costs import remember_settings
    from tasks.results import share_databases

    share_databases()
    remember_settings()
    send_together()
    if is_retuned:
        refresh_global_settings_context()
    run(UUID(order.environment[FLOW_RUN_VARIABLE]), order.flow_run, order.deployment)
    # A process that waits may be ended at any time.
    flush(_FLUSH_SECONDS)


def _following(orders: Connection) -> Order | None:
    """The next order; None when there is none to come."""
    _name_process("knowledge: waits for a flow")
    # The directory of a run goes with it.
    os.chdir("/")
    try:
        orders.send(psutil.Process().memory_info().rss)
        following: Order = orders.recv()
    except (EOFError, OSError):
        return None
    return following


def _name_process(title: str) -> None:
    # It looks for the environment that the process began with, and would write over it: that tells whose process
    # this is.
    os.environ["SPT_NOENV"] = "1"
    from setproctitle import setproctitle

    setproctitle(title)
