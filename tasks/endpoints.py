"""The guards of model endpoints, shared with all other processes: permits by Prefect, the rest by PostgreSQL."""

from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from prefect.events import emit_event

from knowledge.build import Guards, guards_of
from knowledge.settings import EndpointSettings, Settings
from resilience.board import EndpointState, Standing
from tables.endpoint_boards import EndpointBoards
from tables.endpoints import EndpointKey
from tables.session import Database
from tasks.permits import open_permits

# Beyond its deadline a probe needs a moment to be told; then it is somebody else's.
_PROBE_MARGIN_SECONDS = 15.0


@asynccontextmanager
async def open_guards(settings: Settings, database: Database, leases_file: Path) -> AsyncGenerator[Guards]:
    """The guards of the endpoints that the settings name; embedded models have none to share.

    Raises:
        ConfigurationError: the global concurrency limit on embeddings does not exist or is not active.
    """
    chat, embedding = (_key("chat", settings.chat), _key("embedding", settings.embedding))
    keys = [key for key in (chat, embedding) if key is not None]
    if not keys:
        yield guards_of(settings)
        return
    longest = max(settings.chat.timeout_seconds, settings.embedding.timeout_seconds)
    announcer = _Announcer()
    async with AsyncExitStack() as opened:
        permits = await opened.enter_async_context(open_permits(leases_file=leases_file)) if embedding else None
        boards = await opened.enter_async_context(
            EndpointBoards(
                database,
                keys,
                longest + _PROBE_MARGIN_SECONDS,
                announcer.announce,
                shares_rates=any(endpoint.has_rate for endpoint in (settings.chat, settings.embedding)),
            )
        )
        yield guards_of(
            settings,
            permits,
            boards.board(chat) if chat else None,
            boards.board(embedding) if embedding else None,
        )


def _key(kind: str, settings: EndpointSettings) -> EndpointKey | None:
    return EndpointKey.of(kind, settings.base_url, settings.model) if settings.is_configured else None


class _Announcer:
    """Shows in Prefect what this process makes of endpoints: `knowledge.endpoint.open`, `.throttled`, `.closed`."""

    def __init__(self) -> None:
        self._last: dict[str, EndpointState] = {}

    def announce(self, key: EndpointKey, standing: Standing) -> None:
        hold = standing.hold
        state = EndpointState.CLOSED if hold is None else hold.state
        if self._last.get(key.id, EndpointState.CLOSED) is state:
            return
        self._last[key.id] = state
        emit_event(
            event=f"knowledge.endpoint.{state}",
            resource={"prefect.resource.id": f"knowledge.endpoint.{key.id}", "prefect.resource.name": key.name},
            payload={} if hold is None else {"detail": hold.detail, "probe_in_seconds": hold.probe_in_seconds},
        )
