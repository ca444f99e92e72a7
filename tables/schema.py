"""The database's schema: brought up, taken down and checked, by Alembic from within the program."""

import io
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import Connection, NullPool, create_engine, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from knowledge.errors import ConfigurationError, StoreUnavailable
from tables.base import SCHEMA
from tables.row_security import APP_ROLE, OPERATOR_ROLE, unprotected_tables
from tables.session import connect_arguments, sqlalchemy_url

_MIGRATIONS = Path(__file__).parent / "migrations"
# Any number will do, as long as all who migrate use the same.
_LOCK = int.from_bytes(b"knowledg")
# A login of our schema's name would have the extension made in our schema, where no other role looks for it.
_WITHOUT_OWN_SCHEMA = text(
    """SELECT set_config('search_path',
        array_to_string(array_remove(string_to_array(current_setting('search_path'), ', '), '"$user"'), ', '), true)"""
)


def upgrade(url: str, revision: str = "head") -> None:
    """Migrates the database at `url` up to `revision`. Two processes at once take turns; the second finds it done.

    Raises:
        StoreUnavailable: the database did not answer.
        ConfigurationError: the login lacks a right; the message names it.
    """
    with _connection(url) as connection:
        connection.execute(text(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}"))
        command.upgrade(_config(connection), revision)


def downgrade(url: str, revision: str = "base") -> None:
    """Migrates the database down to `revision`. At `base` our schema is gone, and every row with it.

    The role and the extension stay, for other databases and schemas may use them.

    Raises:
        StoreUnavailable, ConfigurationError: as `upgrade`.
    """
    with _connection(url) as connection:
        if not _has_schema(connection):
            return
        command.downgrade(_config(connection), revision)
        if revision == "base":
            connection.execute(text(f"DROP TABLE {SCHEMA}.alembic_version"))
            connection.execute(text(f"DROP SCHEMA {SCHEMA}"))


def check(url: str) -> None:
    """Returns if the database is as the models have it: tables, columns, keys, and every table's protection.

    Raises:
        ConfigurationError: it is not; the message says what differs.
        StoreUnavailable: the database did not answer.
    """
    with _connection(url) as connection:
        if not _has_schema(connection):
            raise ConfigurationError(f"the database has no schema {SCHEMA}: migrate it")
        try:
            command.check(_config(connection))
        except CommandError as error:
            raise ConfigurationError(f"the database's schema differs from the models: {error}") from error
        open_tables = unprotected_tables(connection)
    if open_tables:
        raise ConfigurationError(f"row-level security or rights are incomplete on: {', '.join(open_tables)}")


@contextmanager
def _connection(url: str) -> Generator[Connection]:
    engine = create_engine(sqlalchemy_url(url), poolclass=NullPool, connect_args=connect_arguments(url))
    try:
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK})
            connection.execute(_WITHOUT_OWN_SCHEMA)
            yield connection
    except DBAPIError as error:
        raise _translated(error) from error


def _has_schema(connection: Connection) -> bool:
    return connection.scalar(text("SELECT to_regnamespace(:schema)"), {"schema": SCHEMA}) is not None


def _translated(error: DBAPIError) -> Exception:
    problem = str(error.orig).strip().partition("\n")[0]
    if isinstance(error, OperationalError | InterfaceError) or error.connection_invalidated:
        return StoreUnavailable(f"the database did not answer: {problem}")
    if isinstance(error.orig, InsufficientPrivilege):
        return ConfigurationError(
            f"the database login may not migrate: {problem}. It needs CREATE on the database, and CREATEROLE, or "
            "an administrator to run: "
            + "".join(f"CREATE ROLE {role} NOLOGIN; GRANT {role} TO <login>; " for role in (APP_ROLE, OPERATOR_ROLE))
            + "CREATE EXTENSION IF NOT EXISTS vector"
        )
    return error


def _config(connection: Connection) -> Config:
    config = Config(stdout=io.StringIO())
    # ConfigParser reads a percent sign as the start of an interpolation.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
