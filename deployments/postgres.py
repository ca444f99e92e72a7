"""The embedded PostgreSQL: started, adopted or brought back after a kill, and heard on a Unix socket only.

It is a process of its own session: it outlives whoever started it, until it is told to stop.
"""

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import psycopg

from deployments.database_urls import KNOWLEDGE_DATABASE, PREFECT_DATABASE, SUPERUSER, DatabaseUrls, socket_urls
from deployments.home import StackHome
from deployments.postgres_files import (
    SystemUser,
    postgres_programs,
    postgres_user,
    prepare_data_directory,
    socket_directory,
)
from deployments.processes import ProcessIdentity
from knowledge.errors import ConfigurationError

STOP_SIGNALS = (signal.SIGINT, signal.SIGQUIT)
"""PostgreSQL's fast shutdown (it ends the sessions), then its immediate one."""

# Crash recovery may have much to replay; a killed postmaster's last backends are gone within seconds.
_READY_SECONDS = 120.0
_START_ATTEMPTS = 20
# PostgreSQL tells nobody that it has taken its directory, or takes connections: pid file and socket are looked at, by
# a supervisor that has nothing else to do meanwhile.
_POLL_SECONDS = 0.05
# A killed server's backends take a moment to end, and are nobody's children to be waited for.
_RETRY_SECONDS = 0.5
_OPTIONS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    # Short queries only: compiling them costs more than it saves.
    "jit": "off",
}


def embedded_urls(home: StackHome) -> DatabaseUrls:
    """The URLs of the embedded PostgreSQL of `home`, whether it runs or not."""
    return socket_urls(_socket_directory(home, postgres_user()))


def embedded_process(home: StackHome) -> ProcessIdentity | None:
    """The live embedded PostgreSQL of `home`."""
    return running_postgres(home.postgres / "data")


def start_postgres(home: StackHome) -> ProcessIdentity:
    """A PostgreSQL of `home` that answers and has both databases: the running one, or a new one.

    Raises:
        ConfigurationError: there is no PostgreSQL to start, or it does not start; the log's end says why.
    """
    data, user = home.postgres / "data", postgres_user()
    sockets = _socket_directory(home, user)
    programs = postgres_programs()
    prepare_data_directory(data, programs, user)
    command = _command(programs, data, sockets)
    process = running_postgres(data) or _start(home, command, user)
    if not _answers(process, sockets):
        # It was adopted while dying, or did not survive its recovery: once more, from the beginning.
        process = _start(home, command, user)
        if not _answers(process, sockets):
            raise _does_not_start(home)
    _create_databases(sockets)
    return process


def _socket_directory(home: StackHome, user: SystemUser) -> Path:
    return socket_directory(home.postgres / "socket", user)


def running_postgres(data: Path) -> ProcessIdentity | None:
    """The live server of a data directory. Its pid file alone is no proof: the pid may be another process's by now."""
    try:
        pid = int((data / "postmaster.pid").read_text().split("\n", 1)[0])
        command = psutil.Process(pid).cmdline()
    except (FileNotFoundError, ValueError, psutil.Error):
        return None
    return ProcessIdentity.of(pid) if str(data) in command else None


def _command(programs: Path, data: Path, sockets: Path) -> list[str]:
    options = {**_OPTIONS, "unix_socket_directories": str(sockets)}
    settings = [argument for name, value in options.items() for argument in ("-c", f"{name}={value}")]
    return [str(programs / "postgres"), "-D", str(data), *settings]


def _start(home: StackHome, command: list[str], user: SystemUser) -> ProcessIdentity:
    """Start the server. One that was killed leaves a pid file and backends, which may refuse us for a moment."""
    data = home.postgres / "data"
    for _ in range(_START_ATTEMPTS):
        _remove_stale_pid_file(data)
        child = _spawn(home, command, user)
        identity = ProcessIdentity.of(child.pid)
        if identity is not None and _is_accepted(child, data):
            return identity
        time.sleep(_RETRY_SECONDS)
    raise _does_not_start(home)


def _does_not_start(home: StackHome) -> ConfigurationError:
    log, tail = home.log_file("postgres"), home.log_tail("postgres")
    return ConfigurationError(f"PostgreSQL does not start: see why at the end of {log}:\n{tail}")


def _spawn(home: StackHome, command: list[str], user: SystemUser) -> "subprocess.Popen[bytes]":
    with home.open_log("postgres") as log:
        return subprocess.Popen(
            command,
            user=user.uid,
            group=user.gid,
            extra_groups=[] if user.is_another else None,
            cwd="/",
            env={**os.environ, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _is_accepted(child: "subprocess.Popen[bytes]", data: Path) -> bool:
    """Whether the server took the data directory (its pid is in the pid file and it has a status); else it ended."""
    while child.poll() is None:
        try:
            lines = (data / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            lines = []
        if len(lines) >= 8 and lines[0] == str(child.pid):
            return True
        time.sleep(_POLL_SECONDS)
    return False


def _remove_stale_pid_file(data: Path) -> None:
    """Remove a killed server's pid file if its pid is now another program's, which PostgreSQL would wait for.

    The file also guards against backends that outlive their server, so it stays while there is any.
    """
    if (data / "postmaster.pid").exists() and running_postgres(data) is None and not _has_backends(data):
        (data / "postmaster.pid").unlink(missing_ok=True)


def _has_backends(data: Path) -> bool:
    return any(_works_in(process, data) for process in psutil.process_iter())


def _works_in(process: psutil.Process, directory: Path) -> bool:
    try:
        return process.cwd() == str(directory)
    except (psutil.Error, OSError):
        return False


def _answers(process: ProcessIdentity, sockets: Path) -> bool:
    """Whether the server takes connections before it dies or the time is over."""
    deadline = time.monotonic() + _READY_SECONDS
    while process.is_alive and time.monotonic() < deadline:
        try:
            psycopg.connect(host=str(sockets), user=SUPERUSER, dbname="postgres").close()
        except psycopg.OperationalError:
            time.sleep(_POLL_SECONDS)
        else:
            return True
    return False


def _create_databases(sockets: Path) -> None:
    with psycopg.connect(host=str(sockets), user=SUPERUSER, dbname="postgres", autocommit=True) as connection:
        present = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
        if KNOWLEDGE_DATABASE not in present:
            connection.execute("CREATE DATABASE knowledge")
        if PREFECT_DATABASE not in present:
            connection.execute("CREATE DATABASE prefect")
