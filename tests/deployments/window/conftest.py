"""The window over the session's PostgreSQL, and two organisations with a token each."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

import httpx
import pytest
from fastapi import FastAPI

from deployments.window.app import create_app
from deployments.window.limits import WindowLimits
from knowledge.domain import ExtractionProgress, Stage
from knowledge.ids import ExecutionId, FlowRunId, OrganizationId, ProgressEventId
from knowledge.progress import ProgressStep
from knowledge.settings import Settings
from tables.ledger import Ledger
from tables.session import Database
from tables.tokens import AccessTokens
from tests.served_window import served

LIMITS = WindowLimits(body_bytes=2_000, streams=4, heartbeat_seconds=0.1, send_seconds=0.5)
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Visitor:
    """An organisation, with a token for the window and what is behind it."""

    url: str
    database: Database
    organization_id: OrganizationId
    token: str

    @property
    def ledger(self) -> Ledger:
        """The organisation's executions."""
        return Ledger(self.database, self.organization_id)

    @property
    def tokens(self) -> AccessTokens:
        """The organisation's tokens."""
        return AccessTokens(self.database, self.organization_id)

    def ask(self, method: str, path: str, token: str | None = None, **request: object) -> httpx.Response:
        """The response to a request with the visitor's token, or another one."""
        headers = {"Authorization": f"Bearer {token or self.token}", "Content-Type": "application/json"}
        return httpx.request(method, self.url + path, headers=headers, timeout=10, **request)  # pyright: ignore[reportArgumentType]

    def begin(self, document: str = "ada") -> ExecutionId:
        """An execution that is running."""
        run = FlowRunId(str(uuid.uuid4()))
        return self.ledger.open_execution(run, document_name=document, parameters={}, pid=1, host="h").id

    def advance(self, execution_id: ExecutionId, *completed: int) -> None:
        """So many of 100 mentions, in one batch."""
        steps = [ExtractionProgress(Stage.MENTIONS, n, 100) for n in completed]
        self.ledger.record_activities(
            [],
            [
                ProgressStep(ProgressEventId.new(), execution_id, step, step.fraction, step.completed, 0, NOON)
                for step in steps
            ],
        )


@pytest.fixture(scope="session")
def window(database: Database) -> FastAPI:
    """The application, with little patience."""
    return create_app(Settings(), database, LIMITS)


@pytest.fixture(scope="session")
def window_url(window: FastAPI) -> Iterator[str]:
    """Where it is served."""
    with served(window) as url:
        yield url


@pytest.fixture
def watching(window: FastAPI) -> Callable[[], int]:
    """How many watch executions now."""
    return lambda: window.state.watch.streams


def _visitor(url: str, database: Database) -> Visitor:
    organization_id = OrganizationId(f"org-{uuid.uuid4().hex}")
    _, token = AccessTokens(database, organization_id).create("a dashboard", "me", lifetime=None)
    return Visitor(url, database, organization_id, token)


@pytest.fixture
def visitor(window_url: str, database: Database) -> Visitor:
    """Somebody with a token."""
    return _visitor(window_url, database)


@pytest.fixture
def stranger(window_url: str, database: Database) -> Visitor:
    """Somebody else, of another organisation."""
    return _visitor(window_url, database)
