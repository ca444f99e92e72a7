"""Where the local stack keeps things: the files and directories under `KNOWLEDGE_HOME`."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import certifi

from knowledge.errors import ConfigurationError
from knowledge.settings import Settings

_LOG_KEPT_BYTES = 10_000_000
_CERTIFICATE_BEGIN, _CERTIFICATE_END = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"


@dataclass(frozen=True, slots=True)
class StackHome:
    """The layout of one stack's home; `root` is absolute."""

    root: Path

    @classmethod
    def of(cls, settings: Settings) -> "StackHome":
        """The home that `settings` name, whether it exists or not."""
        return cls(settings.home.expanduser().resolve())

    @property
    def state_file(self) -> Path:
        """What runs, for the other commands to read."""
        return self.root / "stack.json"

    @property
    def lock_file(self) -> Path:
        """Held by the one supervisor."""
        return self.root / "stack.lock"

    @property
    def postgres(self) -> Path:
        """The embedded PostgreSQL's data and socket."""
        return self.root / "postgres"

    @property
    def prefect(self) -> Path:
        """The local Prefect server's own files: leases, UI, profile."""
        return self.root / "prefect"

    @property
    def logs(self) -> Path:
        """One log file for each part."""
        return self.root / "logs"

    @property
    def certificate(self) -> Path:
        """One certificate, for clients of an unencrypted API: they load a whole bundle otherwise, 24 ms each time."""
        return self.prefect / "certificate.pem"

    def create(self) -> None:
        """Make the directories. Others may pass through the home (PostgreSQL's user must) but list nothing.

        Raises:
            ConfigurationError: they cannot be made or written into.
        """
        try:
            self._create()
        except OSError as error:
            raise self._unusable(error) from error

    def _create(self) -> None:
        for directory in (self.root, self.postgres, self.prefect, self.logs):
            directory.mkdir(parents=True, exist_ok=True)
        if self.root.stat().st_uid == os.geteuid():
            self.root.chmod(0o711)
        for directory in (self.prefect, self.logs):
            directory.chmod(0o700)
        if not self.certificate.exists():
            bundle = certifi.contents()
            end = bundle.index(_CERTIFICATE_END) + len(_CERTIFICATE_END)
            self.certificate.write_text(bundle[bundle.index(_CERTIFICATE_BEGIN) : end] + "\n")

    def log_file(self, part: str) -> Path:
        """The log of a part."""
        return self.logs / f"{part}.log"

    def open_log(self, part: str) -> IO[bytes]:
        """The log of a part, opened to append; an old one that has grown long is put aside as `.log.1`."""
        path = self.log_file(part)
        if path.exists() and path.stat().st_size > _LOG_KEPT_BYTES:
            path.replace(path.with_suffix(".log.1"))
        return path.open("ab")

    def log_tail(self, part: str, lines: int = 15) -> str:
        """The last lines of a part's log; empty when there is none."""
        path = self.log_file(part)
        if not path.exists():
            return ""
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])

    @contextmanager
    def supervising(self) -> Generator[bool]:
        """Whether we are the one supervisor of this home, for as long as the block runs.

        Raises:
            ConfigurationError: the home cannot be used.
        """
        self.create()
        try:
            lock = self.lock_file.open("ab")
        except OSError as error:
            raise self._unusable(error) from error
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def _unusable(self, error: OSError) -> ConfigurationError:
        return ConfigurationError(
            f"the stack cannot keep its state in {self.root} ({error.strerror or error}): set KNOWLEDGE_HOME to a "
            "directory that you may write into"
        )
