"""The door to the database: sessions that belong to one organisation."""

from collections.abc import Generator
from contextlib import contextmanager

from psycopg.errors import InvalidSchemaName, UndefinedColumn, UndefinedTable
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    StatementError,
)
from sqlalchemy.orm import Session, SessionTransaction

from knowledge.errors import ConfigurationError, KnowledgeError, StoreUnavailable
from knowledge.ids import OrganizationId
from tables.row_security import APP_ROLE

_ORGANIZATION = "organization_id"
_ENTER = text(
    f"SELECT set_config('role', '{APP_ROLE}', true), set_config('app.organization_id', :organization_id, true)"
)
# A peer that vanished without a word is given up after about 25 seconds, so that locks it held come free.
_CONNECT_ARGUMENTS: dict[str, str | int] = {
    "application_name": "knowledge",
    "connect_timeout": 10,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}


class OrgSession(Session):
    """A session whose every transaction runs as the application role within its organisation."""


@event.listens_for(OrgSession, "after_begin")
def _enter_organization(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    # Transaction-local, both settings: nothing of them stays on the pooled connection.
    try:
        connection.execute(_ENTER, {_ORGANIZATION: session.info[_ORGANIZATION]})
    except (ProgrammingError, DataError) as error:
        raise ConfigurationError(
            f"the database cannot be used as role {APP_ROLE} ({_first_line(error)}): migrate it, "
            f"and let the login take the role with GRANT {APP_ROLE} TO <login>"
        ) from error


class Database:
    """A PostgreSQL database with our tables, reached through any synchronous engine on psycopg."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def org_session(self, organization_id: OrganizationId) -> Generator[Session]:
        """A session that sees and writes only this organisation's rows; commits at the end, or rolls back.

        Raises:
            StoreUnavailable: the database did not answer, or broke the connection.
            ConfigurationError: the database is not migrated, or the login may not take the application role.
            InvalidId: a value written or read is not an id of its kind.
        """
        info = {_ORGANIZATION: OrganizationId(organization_id)}
        try:
            with OrgSession(self._engine, expire_on_commit=False, info=info) as session, session.begin():
                yield session
        except StatementError as error:
            raise _translated(error) from error

    def close(self) -> None:
        """Closes the pooled connections; the database can be used again afterwards."""
        self._engine.dispose()


def _translated(error: StatementError) -> Exception:
    if isinstance(error.orig, KnowledgeError):
        return error.orig
    if isinstance(error, OperationalError | InterfaceError) or (
        isinstance(error, DBAPIError) and error.connection_invalidated
    ):
        return StoreUnavailable(f"the database did not answer: {_first_line(error)}")
    if isinstance(error.orig, UndefinedTable | UndefinedColumn | InvalidSchemaName):
        return ConfigurationError(f"the database is not migrated to this version: {_first_line(error)}")
    return error


def _first_line(error: StatementError) -> str:
    return str(error.orig).strip().partition("\n")[0]


def sqlalchemy_url(url: str) -> str:
    """The URL for SQLAlchemy with psycopg, from `postgresql://`, `postgres://` or `postgresql+<driver>://`.

    Raises:
        ConfigurationError: not a PostgreSQL URL. The message does not repeat it: it may hold a password.
    """
    return _parsed(url).render_as_string(hide_password=False)


def _parsed(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise ConfigurationError(
            "the database URL cannot be read: write it as postgresql://user:password@host/database"
        ) from None
    if parsed.drivername.partition("+")[0] not in {"postgresql", "postgres"}:
        raise ConfigurationError(f"the database must be PostgreSQL (postgresql://…), not {parsed.drivername}://…")
    return parsed.set(drivername="postgresql+psycopg")


def create_database(url: str) -> Database:
    """The database at this URL, with a small pool (5 connections, 5 more under load) of checked connections.

    Raises:
        ConfigurationError: as `sqlalchemy_url`.
    """
    return Database(
        create_engine(
            sqlalchemy_url(url),
            pool_pre_ping=True,
            pool_size=5,
            max_overflow=5,
            connect_args=connect_arguments(url),
        )
    )


def connect_arguments(url: str) -> dict[str, str | int]:
    """What the driver is told besides the URL; parameters that the URL gives itself are left to it."""
    given = _parsed(url).query
    return {name: value for name, value in _CONNECT_ARGUMENTS.items() if name not in given}
