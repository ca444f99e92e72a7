"""The door to the database: sessions that belong to one organisation."""

import hashlib
import select
from collections import defaultdict
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import psycopg
from psycopg import sql
from psycopg.errors import InvalidSchemaName, UndefinedColumn, UndefinedTable
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    InterfaceError,
    InvalidatePoolError,
    OperationalError,
    ProgrammingError,
    StatementError,
)
from sqlalchemy.orm import Session, SessionTransaction

from knowledge.errors import ConfigurationError, KnowledgeError, StoreUnavailable
from knowledge.ids import OrganizationId
from tables.row_security import APP_ROLE, OPERATOR_ROLE

Cursor = psycopg.Cursor[tuple[Any, ...]]
"""The driver's, whose transaction is an organisation's."""
_ORGANIZATION = "organization_id"
# Each begins a transaction and takes a role in one message, so connections of the pool begin none by themselves.
_ENTER = f"BEGIN; SET LOCAL ROLE {APP_ROLE}; SET LOCAL app.organization_id = "
_ENTER_AS_OPERATOR = f"BEGIN READ ONLY; SET LOCAL ROLE {OPERATOR_ROLE}"
# What is kept there is news for others, who hear of it at the commit: it need not survive a crash of the database.
_ENTER_INSTALLATION = f"BEGIN; SET LOCAL ROLE {OPERATOR_ROLE}; SET LOCAL synchronous_commit = off"
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(:key)")
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


ENGINE_OPTIONS: dict[str, Any] = {"isolation_level": "AUTOCOMMIT", "pool_size": 5, "max_overflow": 5}
"""What an engine is best made with. The isolation level is the driver's: sessions begin transactions themselves."""


class OrgSession(Session):
    """A session whose every transaction runs as the application role within its organisation."""


@event.listens_for(OrgSession, "after_begin")
def _enter_organization(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    # Transaction-local, both settings: nothing of them stays on the pooled connection.
    _take_role(connection, APP_ROLE, _ENTER + sql.quote(session.info[_ORGANIZATION]))


class OperatorSession(Session):
    """A session whose every transaction reads, across organisations, what an operator may see."""


@event.listens_for(OperatorSession, "after_begin")
def _enter_as_operator(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    _take_role(connection, OPERATOR_ROLE, _ENTER_AS_OPERATOR)


class InstallationSession(Session):
    """A session whose every transaction keeps what belongs to no organisation, as the operator's role."""


@event.listens_for(InstallationSession, "after_begin")
def _enter_installation(session: Session, transaction: SessionTransaction, connection: Connection) -> None:
    _take_role(connection, OPERATOR_ROLE, _ENTER_INSTALLATION)


def _take_role(connection: Connection, role: str, statements: str) -> None:
    with _requiring_role(role, ProgrammingError, DataError):
        connection.exec_driver_sql(statements)


@contextmanager
def _requiring_role(role: str, *errors: type[Exception]) -> Generator[None]:
    try:
        yield
    except errors as error:
        raise ConfigurationError(
            f"the database cannot be used as role {role} ({_first_line(error)}): migrate it, "
            f"and let the login take the role with GRANT {role} TO <login>"
        ) from error


def _require_open(connection: "psycopg.Connection[tuple[object, ...]]", *record: object) -> None:
    """A connection of the pool that the server has closed is not used; nor are those that are as old."""
    if _has_something_to_read(connection):
        raise InvalidatePoolError("the server has closed the connection")


def _has_something_to_read(connection: "psycopg.Connection[tuple[object, ...]]") -> bool:
    """An idle one has when it is closed, and almost never otherwise: no need to ask the server."""
    readable = select.poll()
    readable.register(connection.fileno(), select.POLLIN)
    return bool(readable.poll(0))


class Database:
    """A PostgreSQL database with our tables, reached through any synchronous engine on psycopg.

    Each transaction costs a round trip less if the engine is made with `ENGINE_OPTIONS`.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._kept: defaultdict[str, list[psycopg.Connection[tuple[object, ...]]]] = defaultdict(list)
        event.listen(engine, "checkout", _require_open)

    @contextmanager
    def org_session(self, organization_id: OrganizationId) -> Generator[Session]:
        """A session that sees and writes only this organisation's rows; commits at the end, or rolls back.

        Raises:
            StoreUnavailable: the database did not answer, or broke the connection.
            ConfigurationError: the database is not migrated, or the login may not take the application role.
            InvalidId: a value written or read is not an id of its kind.
        """
        info = {_ORGANIZATION: OrganizationId(organization_id)}
        with _translating(), OrgSession(self._engine, expire_on_commit=False, info=info) as session, session.begin():
            yield session

    @contextmanager
    def org_cursor(self, organization_id: OrganizationId) -> Generator[Cursor]:
        """As `org_session`, the driver's cursor: for what is sent so often that building statements is what it costs.

        Errors of the driver that no outage and no missing migration explains come as they are.

        Raises:
            StoreUnavailable, ConfigurationError: as `org_session`.
        """
        enter = _ENTER + sql.quote(OrganizationId(organization_id))
        with _translating(), _translating_driver():
            pooled = self._engine.raw_connection()
            connection = cast("psycopg.Connection[tuple[Any, ...]]", pooled.driver_connection)
            try:
                with _requiring_role(APP_ROLE, psycopg.ProgrammingError, psycopg.DataError):
                    connection.execute(enter.encode())
                with connection.cursor() as cursor:
                    yield cursor
                connection.commit()
            except BaseException:
                # The pool rolls back what is left; what is broken it must not hand out again.
                if connection.broken:
                    pooled.invalidate()
                raise
            finally:
                pooled.close()

    @contextmanager
    def operator_session(self) -> Generator[Session]:
        """A session that reads which executions there are, of all organisations, and nothing of their contents.

        Raises:
            StoreUnavailable: the database did not answer, or broke the connection.
            ConfigurationError: the database is not migrated, or the login may not take the operator's role.
        """
        with _translating(), OperatorSession(self._engine) as session, session.begin():
            yield session

    @contextmanager
    def installation_session(self) -> Generator[Session]:
        """A session for the tables that belong to no organisation; commits at the end, or rolls back.

        Raises:
            StoreUnavailable, ConfigurationError: as `operator_session`.
        """
        with _translating(), InstallationSession(self._engine) as session, session.begin():
            yield session

    @contextmanager
    def exclusively(self, purpose: str) -> Generator[bool]:
        """Whether nobody else, in whatever process, is in such a block of the same `purpose`; held until it ends.

        Raises:
            StoreUnavailable: the database did not answer.
        """
        key = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], signed=True)
        with self.operator_session() as session:
            yield bool(session.scalar(_TRY_LOCK, {"key": key}))

    def dedicated_connection(self, application_name: str) -> "psycopg.Connection[tuple[object, ...]]":
        """A connection of its own, outside the pool, that commits each statement; the caller closes or keeps it.

        Raises:
            StoreUnavailable: the database did not answer.
        """
        kept = self._kept[application_name]
        while kept:
            connection = kept.pop()
            if not _has_something_to_read(connection):
                return connection
            connection.close()
        arguments, named = self._connect_arguments(application_name)
        with _translating_driver():
            return psycopg.connect(*arguments, autocommit=True, **named)

    def keep(self, connection: "psycopg.Connection[tuple[object, ...]]", application_name: str) -> None:
        """Leaves a dedicated connection to whoever next asks for one of this name; a broken one is closed.

        Its locks are free when this returns, not a moment later, and it listens to nothing. A new connection takes the
        database longer than what most of them are for.
        """
        try:
            connection.execute("SELECT pg_advisory_unlock_all(); UNLISTEN *")
            # Whoever has it next is not to hear what came until now.
            list(connection.notifies(timeout=0))
        except psycopg.Error:
            connection.close()
        else:
            self._kept[application_name].append(connection)

    async def dedicated_async_connection(self, application_name: str) -> "psycopg.AsyncConnection[tuple[object, ...]]":
        """As `dedicated_connection`, of the running event loop.

        Raises:
            StoreUnavailable: the database did not answer.
        """
        arguments, named = self._connect_arguments(application_name)
        with _translating_driver():
            return await psycopg.AsyncConnection.connect(*arguments, autocommit=True, **named)

    def _connect_arguments(self, application_name: str) -> tuple[Sequence[str], dict[str, Any]]:
        arguments, parameters = self._engine.dialect.create_connect_args(self._engine.url)
        return arguments, {**_CONNECT_ARGUMENTS, **parameters, "application_name": application_name}

    def close(self) -> None:
        """Closes connections that nobody uses; the database can be used again afterwards."""
        for connections in self._kept.values():
            while connections:
                connections.pop().close()
        self._engine.dispose()


@contextmanager
def _translating() -> Generator[None]:
    try:
        yield
    except StatementError as error:
        raise _translated(error) from error


@contextmanager
def _translating_driver() -> Generator[None]:
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise StoreUnavailable(f"the database did not answer: {_first_line(error)}") from error
    except (UndefinedTable, UndefinedColumn, InvalidSchemaName) as error:
        raise ConfigurationError(f"the database is not migrated to this version: {_first_line(error)}") from error


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


def _first_line(error: Exception) -> str:
    said = error.orig if isinstance(error, StatementError) else error
    return str(said).strip().partition("\n")[0]


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
    return Database(create_engine(sqlalchemy_url(url), connect_args=connect_arguments(url), **ENGINE_OPTIONS))


def connect_arguments(url: str) -> dict[str, str | int]:
    """What the driver is told besides the URL; parameters that the URL gives itself are left to it."""
    given = _parsed(url).query
    return {name: value for name, value in _CONNECT_ARGUMENTS.items() if name not in given}
