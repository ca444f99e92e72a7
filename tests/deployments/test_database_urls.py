"""One PostgreSQL, two drivers."""

from pathlib import Path

from sqlalchemy.engine import make_url

from deployments.database_urls import external_urls, is_socket_url, socket_urls


def test_the_embedded_databases_are_reached_through_the_socket() -> None:
    """Each driver must get the socket's directory as it is, whatever characters it has."""
    urls = socket_urls(Path("/tmp/a b+c/socket"))
    for url, driver, database in (
        (urls.knowledge, "postgresql+psycopg", "knowledge"),
        (urls.prefect, "postgresql+asyncpg", "prefect"),
    ):
        parsed = make_url(url)
        assert (parsed.drivername, parsed.database, parsed.host) == (driver, database, None)
        assert parsed.query["host"] == "/tmp/a b+c/socket"


def test_a_given_url_serves_both_whatever_driver_it_names() -> None:
    """An operator writes one URL, of libpq's kind."""
    urls = external_urls("postgres://u:p%40ss@h:5433/db?sslmode=require&application_name=mine")
    assert urls.knowledge == "postgresql+psycopg://u:p%40ss@h:5433/db?sslmode=require&application_name=mine"
    assert urls.prefect == "postgresql+asyncpg://u:p%40ss@h:5433/db?ssl=require"


def test_a_given_url_may_name_a_socket() -> None:
    """Then it has no host before the path."""
    urls = external_urls("postgresql:///db?host=/var/run/postgresql")
    assert urls.knowledge == "postgresql+psycopg:///db?host=/var/run/postgresql"
    assert urls.prefect == "postgresql+asyncpg:///db?host=/var/run/postgresql"


def test_only_our_own_embedded_urls_are_recognised_as_such() -> None:
    """A database that an operator entered must not be taken for one that moved."""
    assert is_socket_url(socket_urls(Path("/somewhere")).knowledge)
    assert not is_socket_url("postgresql+psycopg://postgres@db.example/knowledge")
    assert not is_socket_url("postgresql+psycopg://u@/other?host=/somewhere")
