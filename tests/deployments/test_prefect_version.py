"""What the stack shortens in Prefect is shortened in the release that it was held against, and in no other."""

import subprocess
import sys

import prefect

from deployments.prefect_version import HELD_AGAINST

# In a process of its own: what is replaced stays so.
_WITH_ANOTHER = """
import asyncio
import prefect
prefect.__version__ = "3.8.99"
from deployments import server_app, worker
print(asyncio.run(worker._worker_class()).__module__)
app = server_app.create_app()
from prefect.server.database import dependencies
from prefect.server.events import messaging
from prefect.server.models import flow_runs
for replaced in (dependencies.get_dialect, messaging.EventPublisher.publish_event, flow_runs.read_flow_run):
    print(replaced.__module__)
print(app.router.routes[0].path)
"""


def test_the_release_that_is_installed_is_the_one_that_our_replacements_were_held_against() -> None:
    """Who locks another one looks at each replacement, and then says so here."""
    assert prefect.__version__ == HELD_AGAINST


def test_another_release_is_left_as_it_is() -> None:
    """It may have moved what we replace; reports are served, and runs start, all the same."""
    ran = subprocess.run([sys.executable, "-c", _WITH_ANOTHER], capture_output=True, text=True, timeout=120, check=True)
    worker, *modules, route = ran.stdout.split()
    assert worker == "prefect.workers.process"
    assert {module.partition(".")[0] for module in modules} == {"prefect"}
    assert route.startswith("/reports/")
    assert "Prefect 3.8.99 is installed" in ran.stderr
