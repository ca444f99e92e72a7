"""The window as an ASGI application."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from anyio.to_thread import current_default_thread_limiter
from fastapi import FastAPI

from deployments.window import executions, health, progress
from deployments.window.limits import BodyLimit, Unexceptional, WindowLimits
from deployments.window.problems import MEDIA_TYPE, answer_with_problems
from knowledge.settings import Settings
from tables.progress_stream import ProgressListener
from tables.session import Database

# As many as the database's pool has connections for.
_THREADS = 8
_DESCRIPTION = "Executions of one organisation: look at them, follow them, and tell them something."


def create_app(settings: Settings, database: Database, limits: WindowLimits | None = None) -> FastAPI:
    """The application on an open database; it listens for progress while it runs."""
    limits = limits or WindowLimits()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        current_default_thread_limiter().total_tokens = _THREADS
        async with ProgressListener(database) as listener:
            app.state.watch = progress.Watch(database, listener, limits)
            yield

    # Without the pages that would fetch their scripts from elsewhere; the OpenAPI document is there.
    app = FastAPI(
        title="Durable knowledge extraction",
        description=_DESCRIPTION,
        version=version("durable-knowledge"),
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.settings, app.state.database = settings, database
    answer_with_problems(app)
    app.include_router(executions.router)
    app.include_router(progress.router)
    app.include_router(health.router)
    app.add_middleware(BodyLimit, longest=limits.body_bytes)
    app.add_middleware(Unexceptional)
    app.openapi_schema = _with_problem_media_type(app.openapi())
    return app


def _with_problem_media_type(document: dict[str, Any]) -> dict[str, Any]:
    """The document, in which errors have the media type that they have."""
    for path in document["paths"].values():
        for operation in path.values():
            for status, response in operation["responses"].items():
                if int(status) >= 400 and "application/json" in response.get("content", {}):
                    response["content"] = {MEDIA_TYPE: response["content"]["application/json"]}
    return document
