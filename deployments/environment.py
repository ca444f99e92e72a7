"""The environment of the stack's processes: values in, values out.

An operator's own PREFECT_ variables win over our tuning, never over the addresses that tie the parts together.
"""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from deployments.home import StackHome
from deployments.processes import STACK_VARIABLE
from knowledge.settings import Settings

# Prefect asks its maker's computers for nothing and tells them nothing.
_PRIVACY = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
}
_SERVER_TUNING = {
    # One row at a time (the default) makes the recorder of task runs the server's bottleneck.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "2",
    # Twenty events at a time (the default) is a transaction for every third task run.
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "500",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_FLUSH_INTERVAL": "2",
    # Runs wait for a free slot for as long as a queue takes. Called late after 15 seconds (the default), each costs a
    # change of state, and those that no worker fetches are not seen among them.
    "PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "600",
    # More connections than are kept (five by default) are opened anew, and PostgreSQL asked for its types, each time.
    "PREFECT_SERVER_DATABASE_SQLALCHEMY_POOL_SIZE": "20",
    # Leases kept in memory (the default) would leave slots taken for ever when the server restarts.
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
}
_WORKER_TUNING = {
    # A submitted run starts within a second instead of ten.
    "PREFECT_WORKER_QUERY_SECONDS": "1",
    # A line for each task run would hide the story, and costs more than the task run.
    "PREFECT_LOGGING_LOGGERS_PREFECT_TASK_RUNS_LEVEL": "WARNING",
    # Ten lines are two batches rather than one every two seconds; what is left is sent when a process ends.
    "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "5",
    # For a log file: colouring a line takes longer than what it tells of.
    "PREFECT_LOGGING_COLORS": "false",
}
# Of a server of our own: each client would first ask for a token that it does not check, and for its version.
_LOCAL_CLIENT_TUNING = {
    "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "false",
    "PREFECT_CLIENT_SERVER_VERSION_CHECK_ENABLED": "false",
}
# They would point a local stack at another server or profile than its own.
_FOREIGN = ("PREFECT_PROFILE", "PREFECT_API_KEY", "PREFECT_PROFILES_PATH")


def server_environment(
    base: Mapping[str, str], home: StackHome, *, port: int, prefect_database_url: str
) -> dict[str, str]:
    """The environment of a local Prefect server on `port` that keeps its tables at `prefect_database_url`."""
    return {
        **_SERVER_TUNING,
        **_local_base(base, home),
        **_PRIVACY,
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_API_URL": local_api_url(port),
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": prefect_database_url,
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home.prefect / "ui"),
        "PREFECT__SERVER_FINAL": "1",
        "KNOWLEDGE_HOME": str(home.root),
    }


def worker_environment(
    base: Mapping[str, str], home: StackHome, settings: Settings, *, api_url: str, is_local_server: bool
) -> dict[str, str]:
    """The environment of a worker that works for the server at `api_url`, and of the flow processes it starts."""
    variables = _local_base(base, home) if is_local_server else _marked(base, home)
    if is_plain_loopback(api_url):
        variables.setdefault("PREFECT_API_SSL_CERT_FILE", str(home.certificate))
    if is_local_server:
        variables.setdefault("KNOWLEDGE_REPORTS_URL", local_reports_url(api_url))
        variables = {**_LOCAL_CLIENT_TUNING, **variables}
    return {
        **_WORKER_TUNING,
        **variables,
        **_PRIVACY,
        "PREFECT_API_URL": api_url,
        "KNOWLEDGE_HOME": str(home.root),
        # A flow process works in a directory of its own: what was meant by "here" must be said.
        "KNOWLEDGE_DOCUMENTS__ALLOWED_ROOTS": _allowed_roots(settings),
    }


def local_api_url(port: int) -> str:
    """The API of a local server."""
    return f"http://127.0.0.1:{port}/api"


def local_reports_url(api_url: str) -> str:
    """Where a local server serves the reports of executions."""
    return f"{api_url.removesuffix('/api')}/reports"


def is_plain_loopback(url: str) -> bool:
    """Whether the URL is unencrypted and of this machine: its clients need no certificates."""
    parts = urlsplit(url)
    return parts.scheme == "http" and parts.hostname in {"127.0.0.1", "localhost", "::1"}


def _local_base(base: Mapping[str, str], home: StackHome) -> dict[str, str]:
    variables = {name: value for name, value in _marked(base, home).items() if name not in _FOREIGN}
    return {**variables, "PREFECT_HOME": str(home.prefect)}


def _marked(base: Mapping[str, str], home: StackHome) -> dict[str, str]:
    # `python` must be the one we run on, in the commands of flow processes too.
    path = os.pathsep.join([str(Path(sys.executable).parent), base.get("PATH", os.defpath)])
    return {**base, "PATH": path, STACK_VARIABLE: str(home.root), "PYTHONUNBUFFERED": "1"}


def _allowed_roots(settings: Settings) -> str:
    roots = settings.documents.allowed_roots or (str(Path.cwd()),)
    return json.dumps(roots)
