"""A forked flow process, from its first instruction to its last."""

import atexit
import os
import threading
from collections.abc import Mapping
from uuid import UUID

FLOW_RUN_VARIABLE = "PREFECT__FLOW_RUN_ID"


def run_flow_run(environment: Mapping[str, str], directory: str, is_retuned: bool) -> None:
    """Run the flow run that the environment names, as `python -m prefect.engine` does, and exit as that does.

    `is_retuned`: Prefect's settings are others than those of the process that this one was forked from.
    """
    os.setsid()
    _name_process(environment[FLOW_RUN_VARIABLE])
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)

    from prefect.context import refresh_global_settings_context

    from deployments.flow_engine import run

    if is_retuned:
        refresh_global_settings_context()
    try:
        run(UUID(environment[FLOW_RUN_VARIABLE]))
    finally:
        # A forked process ends without what an interpreter does at its end: Prefect sends its last logs then.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()  # pyright: ignore[reportPrivateUsage]


def _name_process(flow_run_id: str) -> None:
    # It looks for the environment that the process began with, and would write over it: that tells whose process
    # this is.
    os.environ["SPT_NOENV"] = "1"
    from setproctitle import setproctitle

    setproctitle(f"knowledge: flow run {flow_run_id}")
