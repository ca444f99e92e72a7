"""The embedded PostgreSQL, for real: started, adopted, killed and brought back."""

import signal
import tempfile
from collections.abc import Generator
from pathlib import Path

import psycopg
import pytest

from deployments.home import StackHome
from deployments.postgres import STOP_SIGNALS, embedded_process, embedded_urls, running_postgres, start_postgres

_GRACE_SECONDS = 20.0


@pytest.fixture
def home() -> Generator[StackHome]:
    """A home with nothing in it; its PostgreSQL is stopped at the end."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        home = StackHome(Path(directory) / "home")
        home.create()
        yield home
        process = embedded_process(home)
        if process is not None:
            process.stop(STOP_SIGNALS, _GRACE_SECONDS)


def _connect(home: StackHome) -> "psycopg.Connection[tuple[object, ...]]":
    url = embedded_urls(home).knowledge.replace("+psycopg", "")
    return psycopg.connect(url, autocommit=True)


def _show(home: StackHome, name: str) -> object:
    with _connect(home) as connection:
        row = connection.execute(f"SHOW {name}".encode()).fetchone()
    assert row is not None
    return row[0]


def test_it_is_heard_on_a_private_socket_only(home: StackHome) -> None:
    """Its users need no password: nobody else may reach it."""
    start_postgres(home)
    assert _show(home, "listen_addresses") == ""
    assert _show(home, "unix_socket_permissions") == "0700"
    assert (home.postgres / "socket").stat().st_mode & 0o077 == 0


def test_a_running_one_is_adopted(home: StackHome) -> None:
    """A supervisor that was killed leaves its PostgreSQL running."""
    first = start_postgres(home)
    assert start_postgres(home) == first


def test_rows_survive_a_kill_and_the_next_start_finds_them(home: StackHome) -> None:
    """The killed server leaves its pid file and backends behind, which must not keep the next one from starting."""
    first = start_postgres(home)
    with _connect(home) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        first.send(signal.SIGKILL)
    second = start_postgres(home)
    assert second != first
    with _connect(home) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


def test_a_pid_file_that_names_a_stranger_does_not_deceive(home: StackHome) -> None:
    """After a reboot the old pid is likely somebody else's, here that of process 1."""
    start_postgres(home).stop((signal.SIGKILL,), _GRACE_SECONDS)
    pid_file = home.postgres / "data" / "postmaster.pid"
    pid_file.write_text("\n".join(["1", *pid_file.read_text().split("\n")[1:]]))
    assert running_postgres(home.postgres / "data") is None
    process = start_postgres(home)
    assert running_postgres(home.postgres / "data") == process


def test_a_home_too_deep_for_a_socket_works_too(home: StackHome) -> None:
    """A socket's path may not be longer than 107 bytes; people's directories are."""
    deep = StackHome(home.root / ("d" * 60) / ("e" * 60))
    deep.create()
    process = start_postgres(deep)
    try:
        assert _show(deep, "listen_addresses") == ""
    finally:
        process.stop(STOP_SIGNALS, _GRACE_SECONDS)
