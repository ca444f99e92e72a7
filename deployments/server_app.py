"""The local stack's Prefect server, which also serves the reports that runs link to.

A report is made when it is asked for, from the database. Whoever reaches Prefect's UI reaches the reports: their
addresses hold the executions' ids, which cannot be guessed. The page is sandboxed away from the origin that it shares
with Prefect's API.
"""

import gc
from collections.abc import Callable

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route

REPORTS = "/reports"
_GARBAGE_THRESHOLD = 20_000
_HEADERS = {
    "Content-Security-Policy": "sandbox allow-scripts allow-popups allow-popups-to-escape-sandbox",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


def create_app() -> FastAPI:
    """Prefect's own app, with the reports before its UI, which takes all addresses that nobody else has."""
    from prefect.server.api.server import create_app as create_prefect_app

    from deployments.prefect_version import may_be_shortened
    from deployments.scheduling import let_schedules_insert

    let_schedules_insert()
    app = _shortened(create_prefect_app) if may_be_shortened() else create_prefect_app()
    app.router.routes.insert(0, Route(f"{REPORTS}/{{organization}}/{{execution}}", report))
    # What is here now stays; what requests make is mostly freed without being looked for.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE_THRESHOLD)
    return app


def _shortened(create: Callable[[], FastAPI]) -> FastAPI:
    from deployments.server_costs import spare
    from deployments.server_events import spare_events
    from deployments.settings_costs import remember_settings

    remember_settings()
    spare_events()
    app = create()
    spare(app)
    return app


def report(request: Request) -> Response:
    """The page on an execution; runs in a thread. What is slow to import is imported for the first one."""
    from deployments.report import render_report
    from knowledge.errors import ConfigurationError, InvalidId, NotFound, StoreUnavailable
    from knowledge.ids import ExecutionId, OrganizationId
    from knowledge.settings import Settings

    try:
        organization_id = OrganizationId(request.path_params["organization"])
        execution_id = ExecutionId(request.path_params["execution"])
        return HTMLResponse(render_report(Settings(), organization_id, [execution_id]), headers=_HEADERS)
    except (InvalidId, NotFound):
        return PlainTextResponse("There is no such execution.", 404)
    except (ConfigurationError, StoreUnavailable):
        return PlainTextResponse("The database does not answer: try again.", 503, headers={"Retry-After": "5"})
