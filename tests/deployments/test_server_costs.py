"""What the local stack's server does once instead of for every request: nobody may tell the difference."""

import inspect
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect.server.api.server import create_app
from prefect.server.utilities.database import Timestamp
from prefect.types._datetime import DateTime
from prefect.utilities.schema_tools import validation
from sqlalchemy.dialects.postgresql import dialect
from starlette.applications import Starlette
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from deployments import server_costs
from deployments.server_costs import spare


@pytest.fixture(scope="module")
def api() -> Any:
    app = create_app(ephemeral=True, ignore_cache=True)
    spare(app)
    return next(mount.app for mount in app.routes if isinstance(mount, Mount) and mount.path == "/api")


def test_a_schema_that_is_wrong_is_refused_each_time_and_one_that_is_right_is_checked_once(
    api: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = {"type": "object", "title": uuid4().hex}
    for _ in range(2):
        with pytest.raises(ValueError, match="Invalid schema"):
            validation.is_valid_schema({"type": "nothing of the kind"})
    validation.is_valid_schema(right)
    monkeypatch.setattr(validation._VALIDATOR, "META_SCHEMA", {"not": {}})  # pyright: ignore[reportPrivateUsage]
    validation.is_valid_schema(right)
    with pytest.raises(ValueError, match="Invalid schema"):
        validation.is_valid_schema({**right, "title": "another"})


def test_what_a_schema_asks_of_a_run_is_still_asked(api: Any) -> None:
    schema: Any = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    assert validation.validate({"n": 1}, schema) == []
    assert len(validation.validate({}, schema)) == 1
    assert len(validation.validate({"n": "one"}, schema)) == 1


@pytest.mark.parametrize("zone", [UTC, timezone(timedelta(hours=5, minutes=30))])
def test_times_are_bound_as_the_same_instants(api: Any, zone: timezone) -> None:
    moment = datetime(2026, 3, 29, 1, 30, 0, 123456, zone)
    bound = Timestamp().process_bind_param(DateTime.fromisoformat(moment.isoformat()), dialect())
    assert bound == moment
    assert type(bound) is datetime
    assert Timestamp().process_bind_param(None, dialect()) is None
    with pytest.raises(ValueError, match="timezone"):
        Timestamp().process_bind_param(moment.replace(tzinfo=None), dialect())


def test_no_dependency_of_prefects_routes_is_called_in_a_thread(api: Any) -> None:
    routes = list(server_costs._routes(api))  # pyright: ignore[reportPrivateUsage]
    assert len(routes) > 100
    called = [needed.call for route in routes for needed in _all_needed(route.dependant)]
    plain = {call for call in called if inspect.isfunction(call) and not inspect.iscoroutinefunction(call)}
    assert called
    assert not plain


def _all_needed(dependant: Any) -> list[Any]:
    return [found for needed in dependant.dependencies for found in (needed, *_all_needed(needed))]


async def test_prefects_api_answers_as_before_but_uncompressed(api: Any) -> None:
    assert all(middleware.cls is not GZipMiddleware for middleware in api.user_middleware)
    transport = httpx.ASGITransport(api)
    async with httpx.AsyncClient(transport=transport, base_url="http://local") as client:
        assert (await client.get("/health")).json() is True
        assert (await client.post("/flows/", json={})).status_code == httpx.codes.UNPROCESSABLE_ENTITY
        old = await client.get("/health", headers={"x-prefect-api-version": "0.0.1"})
        assert old.status_code in {httpx.codes.OK, httpx.codes.BAD_REQUEST}


async def test_a_body_that_does_not_say_what_it_is_is_json() -> None:
    async def say_type(request: Request) -> JSONResponse:
        return JSONResponse(request.headers.get("content-type"))

    app = Starlette(routes=[Route("/", say_type, methods=["GET", "POST"])])
    nameless = server_costs._DefaultContentType(app)  # pyright: ignore[reportPrivateUsage]

    async def chunks() -> AsyncIterator[bytes]:
        yield b"{}"

    async with httpx.AsyncClient(transport=httpx.ASGITransport(nameless), base_url="http://local") as client:
        assert (await client.post("/", content=b"{}")).json() == "application/json"
        assert (await client.post("/", content=b"x", headers={"content-type": "text/plain"})).json() == "text/plain"
        assert (await client.post("/")).json() is None
        assert (await client.post("/", content=chunks())).json() is None
        assert (await client.get("/")).json() is None


@pytest.mark.parametrize(
    ("url", "is_own"),
    [
        ("postgresql+asyncpg://postgres@/prefect?host=/tmp/sockets", True),
        ("postgresql+asyncpg://u:p@127.0.0.1:5433/prefect", True),
        ("postgresql+asyncpg://u:p@localhost/prefect", True),
        ("postgresql+asyncpg://u:p@db.example.org/prefect", False),
        ("postgresql+asyncpg://u:p@/prefect?host=/tmp/sockets&host=db.example.org", False),
    ],
)
def test_only_a_database_of_this_machine_is_trusted_to_be_noticed_when_it_goes(url: str, is_own: bool) -> None:
    assert server_costs._is_of_this_machine(url) is is_own  # pyright: ignore[reportPrivateUsage]
