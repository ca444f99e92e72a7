"""What a stack consists of, decided before anything is started."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from urllib.parse import urlsplit

from deployments.database_urls import DatabaseUrls, external_urls
from deployments.environment import local_api_url
from deployments.home import StackHome
from deployments.parts import PartSpec, recovery_part, server_part, spawn, worker_part
from deployments.ports import reserved_port
from deployments.postgres import STOP_SIGNALS, embedded_urls, start_postgres
from deployments.processes import ProcessIdentity
from deployments.state import StackState, model_fingerprint
from knowledge.settings import Settings

_POSTGRES_GRACE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Part:
    """One part to keep alive. A part that `announces` itself writes into the descriptor that `start` takes."""

    name: str
    title: str
    digest: str
    start: Callable[[int | None], ProcessIdentity]
    stop: Callable[[ProcessIdentity], None]
    announces: bool = False
    runs_flows: bool = False


@dataclass(frozen=True, slots=True)
class StackPlan:
    """The parts in the order in which they start; they stop in the other one."""

    home: StackHome
    api_url: str
    is_local_server: bool
    urls: DatabaseUrls
    model_fingerprint: str
    parts: tuple[Part, ...]

    def prepare_database(self) -> None:
        """Bring our tables up to date.

        Raises:
            KnowledgeError: the database does not answer, or cannot be migrated.
        """
        # Alembic and SQLAlchemy take half a second to import, which nothing should wait for.
        from tables.schema import upgrade

        upgrade(self.urls.knowledge)


def plan_stack(
    settings: Settings, home: StackHome, environment: Mapping[str, str], previous: StackState, port: int
) -> StackPlan:
    """The plan for `settings`, adopting what still runs of the `previous` stack; a local server is to be on `port`."""
    given = settings.database_url
    urls = embedded_urls(home) if given is None else external_urls(given.get_secret_value())
    external = external_api_url(environment, previous)
    api_url = external or local_api_url(port)
    parts: list[Part] = [] if given is not None else [_postgres(home)]
    if external is None:
        parts.append(_part(home, server_part(environment, home, port=port, prefect_database_url=urls.prefect)))
    worker = worker_part(
        environment, home, settings, api_url=api_url, is_local_server=external is None, database_url=urls.knowledge
    )
    recovery = recovery_part(environment, home, settings, api_url=api_url, is_local_server=external is None)
    parts += [_part(home, worker), _part(home, recovery)]
    return StackPlan(home, api_url, external is None, urls, model_fingerprint(settings), tuple(parts))


def external_api_url(environment: Mapping[str, str], previous: StackState) -> str | None:
    """The Prefect API that the environment names instead of a local server.

    The address of our own local server, exported for Prefect's CLI as `up` advises, is no other server.
    """
    url = environment.get("PREFECT_API_URL")
    is_own = previous.is_local_server and url == previous.api_url
    return None if not url or is_own else url


def server_port(
    settings: Settings, environment: Mapping[str, str], previous: StackState
) -> AbstractContextManager[int]:
    """The port for the local server, kept while the block lasts: that of a server to be adopted, or a free one.

    0 where the environment names another server.
    """
    if external_api_url(environment, previous) is not None:
        return nullcontext(0)
    if previous.process("server") is not None and previous.api_url:
        return reserved_port(urlsplit(previous.api_url).port or settings.port, is_ours=True)
    return reserved_port(settings.port)


def _postgres(home: StackHome) -> Part:
    return Part(
        name="postgres",
        title="PostgreSQL",
        digest="",
        start=lambda _: start_postgres(home),
        stop=lambda process: process.stop(STOP_SIGNALS, _POSTGRES_GRACE_SECONDS),
    )


def _part(home: StackHome, spec: PartSpec) -> Part:
    return Part(
        name=spec.name,
        title=spec.title,
        digest=spec.digest,
        start=lambda ready_descriptor: spawn(spec, home, ready_descriptor),
        stop=lambda process: process.stop(spec.stop_signals, spec.grace_seconds),
        announces=spec.announces,
        runs_flows=spec.runs_flows,
    )
