"""How Prefect's server finds who answers a request.

Each router was asked in turn, and tried each of its routes, until one took the path; and the one that did was asked
again for what it had found.
"""

from collections.abc import Callable, Iterable
from typing import Any

from fastapi import FastAPI
from starlette._utils import get_route_path
from starlette.routing import Match
from starlette.types import Scope

_FOUND = "knowledge.found"


def find_routes_once(api: FastAPI) -> None:
    """Have each router of the API pass by paths that begin as none of its routes does, and search others once."""
    for router in api.routes:
        candidates: Callable[[], Iterable[Any]] | None = getattr(router, "effective_candidates", None)
        if candidates is not None:
            _Signpost(router, candidates())


class _Signpost:
    """Stands before a router. What a request's router has found is noted in its scope."""

    def __init__(self, router: Any, candidates: Iterable[Any]) -> None:
        self._beginnings = frozenset(_first(_path(each)) for each in candidates)
        self._matches: Callable[[Scope], tuple[Match, Scope]] = router.matches
        self._match: Callable[[Scope], Any] = router._match
        if all(each and "{" not in each for each in self._beginnings):
            router.matches = self.matches
        router._match = self.match

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if _first(get_route_path(scope)) not in self._beginnings:
            return Match.NONE, {}
        return self._matches(scope)

    def match(self, scope: Scope) -> Any:
        asked = (scope["type"], scope.get("method"), scope["path"], scope.get("root_path"))
        found = scope.get(_FOUND)
        if found is None or found[0] is not self or found[1] != asked:
            found = scope[_FOUND] = (self, asked, self._match(scope))
        return found[2]


def _path(candidate: Any) -> str:
    """Routes that are no operations (web sockets) keep it elsewhere; routers within have none."""
    route = getattr(candidate, "starlette_route", None) or candidate
    return getattr(route, "path", None) or ""


def _first(path: str) -> str:
    return path.lstrip("/").partition("/")[0]
