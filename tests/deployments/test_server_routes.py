"""Who answers a request to Prefect's server is found as before, and once."""

from collections import Counter
from typing import Any
from uuid import uuid4

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from prefect.server.api.server import create_app
from starlette.routing import Match, Mount

from deployments.server_routes import find_routes_once


def _api() -> FastAPI:
    app = create_app(ephemeral=True, ignore_cache=True)
    return next(mount.app for mount in app.routes if isinstance(mount, Mount) and mount.path == "/api")  # pyright: ignore


@pytest.fixture(scope="module")
def plain() -> FastAPI:
    return _api()


@pytest.fixture(scope="module")
def spared() -> FastAPI:
    api = _api()
    find_routes_once(api)
    return api


def _paths(api: FastAPI) -> set[tuple[str, str]]:
    """Each operation's method and path, with something in the places of parameters."""
    found: set[tuple[str, str]] = set()
    for router in api.routes:
        contexts: Any = getattr(router, "effective_route_contexts", list)
        for context in contexts():
            if not context.path:
                continue
            parts = [str(uuid4()) if part.startswith("{") else part for part in context.path.split("/")]
            found |= {(method, "/".join(parts)) for method in context.methods or ()}
    return found


def _who_answers(api: FastAPI, method: str, path: str) -> tuple[Match, str]:
    scope: Any = {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}
    for route in api.routes:
        router: Any = route
        match, _ = router.matches(scope)
        if match != Match.NONE and hasattr(router, "_match"):
            _, child, chosen, _ = router._match(scope)
            return match, f"{chosen.path} {child['path_params'].keys()}"
    return Match.NONE, ""


def test_each_path_is_answered_by_whom_it_was(plain: FastAPI, spared: FastAPI) -> None:
    """Also where only the method is another's, and where nobody answers."""
    paths = _paths(plain)
    assert len(paths) > 100
    asked = {
        *paths,
        *(("TRACE", path) for _, path in paths),
        ("GET", "/nobody"),
        ("GET", "/flow_runs/not/there"),
        ("GET", ""),
    }
    for method, path in asked:
        assert _who_answers(spared, method, path) == _who_answers(plain, method, path), (method, path)


async def test_only_the_routes_of_one_router_are_tried_and_each_once(
    spared: FastAPI, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried: Counter[str] = Counter()
    matches = APIRoute.matches

    def note(self: APIRoute, scope: Any) -> Any:
        tried[f"{sorted(self.methods or ())} {self.path}"] += 1
        return matches(self, scope)

    monkeypatch.setattr(APIRoute, "matches", note)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(spared), base_url="http://local") as client:
        answer = await client.request("DELETE", "/artifacts/")
    assert answer.status_code == 405
    assert {route.partition("/")[2].split("/")[0] for route in tried} <= {"health", "version", "artifacts", ""}
    assert set(tried.values()) == {1}
