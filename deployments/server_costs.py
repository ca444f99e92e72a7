"""What Prefect's server works out anew for every request, although it is always the same.

None of it changes what a client sees. The server is the stack's own, and of the release that tests hold what is
replaced here against (`deployments.prefect_version`).
"""

import json
from collections.abc import Callable, Iterable, MutableMapping
from datetime import UTC, datetime, timedelta
from functools import cache, partial, wraps
from inspect import isasyncgenfunction, iscoroutinefunction, isfunction, isgeneratorfunction
from typing import Any
from urllib.parse import parse_qs, urlsplit

from asyncpg.exceptions import InterfaceError
from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from prefect.server.api import background_workers
from prefect.server.database import dependencies
from prefect.server.utilities.database import JSON, UUID, Pydantic, Timestamp
from prefect.settings import get_current_settings
from prefect.utilities.schema_tools import validation
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_connection
from sqlalchemy.sql.operators import OperatorClass
from starlette.middleware.gzip import GZipMiddleware
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from deployments.server_requests import spare_requests
from deployments.server_routes import find_routes_once

_API = "/api"
_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
_NAMELESS_JSON = "default_content_type"
"""Prefect's own middleware for clients that do not say what they send: each request gets a task group and streams."""
_OTHER_KINDS = (iscoroutinefunction, isgeneratorfunction, isasyncgenfunction)


def spare(app: FastAPI) -> None:
    """Have Prefect's app, before its first request, do once what it needs only once."""
    _remember_valid_schemas()
    _remember_dialect()
    _encode_plain_times()
    database_url = get_current_settings().server.database.connection_url
    if database_url is not None and _is_of_this_machine(database_url.get_secret_value()):
        _notice_closed_connections()
    _say_what_types_can()
    _look_for_due_tasks_each_second()
    for mount in app.routes:
        if isinstance(mount, Mount) and mount.path == _API and isinstance(mount.app, FastAPI):
            _lighten(mount.app)
            for route in _routes(mount.app):
                _stay_in_loop(route.dependant)
            spare_requests(_routes(mount.app))
            find_routes_once(mount.app)


def _remember_valid_schemas() -> None:
    """A deployment's parameters and a pool's variables are described by schemas, which were held against the schema of
    schemas for each run that was created: half of what creating it took."""
    validator: Any = validation._VALIDATOR  # pyright: ignore[reportPrivateUsage]
    check: Callable[..., None] = validator.check_schema
    valid: set[str] = set()

    def check_once(schema: object, *arguments: Any, **options: Any) -> None:
        text = json.dumps(schema, sort_keys=True, default=repr)
        if text not in valid:
            check(schema, *arguments, **options)
            valid.add(text)

    validator.check_schema = check_once


def _remember_dialect() -> None:
    """Each use of the database parsed its URL."""
    module: Any = dependencies
    module.get_dialect = cache(module.get_dialect)


def _encode_plain_times() -> None:
    """asyncpg subtracts from each time, and Prefect's own kind of times takes fifty times as long for that."""
    bind = Timestamp.process_bind_param

    def bind_plain(self: Timestamp, value: datetime | None, dialect: Any) -> datetime | None:
        bound = bind(self, value, dialect)
        if bound is None or type(bound) is datetime:
            return bound
        return datetime.fromisoformat(bound.isoformat()).astimezone(UTC)

    Timestamp.process_bind_param = bind_plain


def _is_of_this_machine(database_url: str) -> bool:
    parts = urlsplit(database_url)
    hosts = {parts.hostname or "", *parse_qs(parts.query).get("host", ())}
    return all(host in {"", "localhost", "127.0.0.1", "::1"} or host.startswith("/") for host in hosts)


def _notice_closed_connections() -> None:
    """Before each use, a connection was asked for nothing in a transaction of its own: three round trips.

    The kernel tells the event loop at once when a PostgreSQL of this machine has gone.
    """

    def ping(self: AsyncAdapt_asyncpg_connection) -> None:
        if self._connection.is_closed():  # pyright: ignore[reportPrivateUsage]
            self._handle_exception(InterfaceError("connection is closed"))  # pyright: ignore[reportPrivateUsage]

    AsyncAdapt_asyncpg_connection.ping = ping


def _look_for_due_tasks_each_second() -> None:
    """What the server does now and then is looked for by a script, four times a second (by default)."""
    module: Any = background_workers
    module.Worker = partial(module.Worker, scheduling_resolution=timedelta(seconds=1))


def _say_what_types_can() -> None:
    """SQLAlchemy 2.1 warns, each time a query is built, of a type that does not say which operators it has."""
    for kind in (JSON, Pydantic, Timestamp, UUID):
        kind.operator_classes = OperatorClass.ANY


def _routes(api: FastAPI) -> Iterable[Any]:
    for route in api.routes:
        contexts: Any = getattr(route, "effective_route_contexts", None)
        found: Iterable[Any] = (route,) if contexts is None else contexts()
        yield from (each for each in found if getattr(each, "dependant", None) is not None)


def _stay_in_loop(dependant: Dependant) -> None:
    """A dependency that is no coroutine is called in a thread, and takes longer to get there than to answer."""
    for needed in dependant.dependencies:
        if isfunction(needed.call) and not any(is_other(needed.call) for is_other in _OTHER_KINDS):
            needed.call = _as_coroutine(needed.call)
        _stay_in_loop(needed)


@cache
def _as_coroutine(call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)
    async def answer(*arguments: Any, **options: Any) -> Any:
        return call(*arguments, **options)

    return answer


def _lighten(api: FastAPI) -> None:
    """Nothing is compressed for this machine's own clients, and a missing content type costs who leaves it out."""
    api.user_middleware = [each for each in api.user_middleware if not _is_heavy(each.cls, each.kwargs)]
    api.add_middleware(_DefaultContentType)


def _is_heavy(middleware: object, options: MutableMapping[str, Any]) -> bool:
    dispatch = options.get("dispatch")
    return middleware is GZipMiddleware or getattr(dispatch, "__name__", None) == _NAMELESS_JSON


class _DefaultContentType:
    """As Prefect's: a body of which a client does not say what it is, is JSON."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] in _WITH_BODY and _is_nameless(scope["headers"]):
            scope = {**scope, "headers": [*scope["headers"], (b"content-type", b"application/json")]}
        await self._app(scope, receive, send)


def _is_nameless(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    given = dict(headers)
    return b"content-type" not in given and int(given.get(b"content-length", 0)) > 0
