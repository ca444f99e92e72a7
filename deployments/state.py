"""The state file: what the supervisor runs, written atomically, read by every other command."""

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from deployments.processes import ProcessIdentity
from knowledge.errors import ConfigurationError
from knowledge.settings import EndpointSettings, Settings

STOPPING = "stopping"
"""The phase of a stack that was told to stop."""


@dataclass(frozen=True, slots=True)
class PartState:
    """A running part: its process, and the digest of the command and environment it was started with."""

    process: ProcessIdentity
    spec_digest: str


@dataclass(frozen=True, slots=True)
class StackState:
    """What runs. `phase` says what a starting stack is doing and is empty once it is `ready`."""

    supervisor: ProcessIdentity | None = None
    ready: bool = False
    phase: str = ""
    api_url: str | None = None
    is_local_server: bool = True
    database_url: str | None = None
    model_fingerprint: str = ""
    parts: dict[str, PartState] = field(default_factory=dict[str, PartState])

    def process(self, part: str) -> ProcessIdentity | None:
        """The live process of a part."""
        state = self.parts.get(part)
        return state.process if state is not None and state.process.is_alive else None

    @property
    def is_supervised(self) -> bool:
        """Whether the supervisor that wrote this state is alive."""
        return self.supervisor is not None and self.supervisor.is_alive

    @property
    def is_running(self) -> bool:
        """Whether the stack is up and supervised."""
        return self.ready and self.is_supervised

    @property
    def is_stopped(self) -> bool:
        """Whether it was told to stop, or nothing of it runs any more; without its supervisor its parts work on."""
        return self.phase == STOPPING or not (self.is_supervised or any(self.process(part) for part in self.parts))


_STATE = TypeAdapter(StackState)


def read_state(path: Path) -> StackState:
    """The state in the file; an empty one if there is no file, or not one that we wrote.

    Raises:
        ConfigurationError: it is there and cannot be read.
    """
    try:
        return _STATE.validate_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValidationError):
        return StackState()
    except OSError as error:
        raise ConfigurationError(
            f"{path}, which tells what runs, cannot be read ({error.strerror or error}): if that stack is somebody "
            "else's, set KNOWLEDGE_HOME to a directory of your own"
        ) from error


def write_state(path: Path, state: StackState) -> None:
    """Replace the file at once, readable by its owner only (the database URL may hold a password)."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(_STATE.dump_json(state, indent=2))
    partial.replace(path)


def model_fingerprint(settings: Settings) -> str:
    """A digest of the model settings: stacks of equal fingerprint ask the same models, and believe them as far."""
    endpoints = [_revealed(endpoint) for endpoint in (settings.chat, settings.embedding)]
    chosen = [*endpoints, str(settings.calibration)]
    return hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()[:32]


def _revealed(endpoint: EndpointSettings) -> dict[str, object]:
    values = endpoint.model_dump(mode="json", exclude={"api_key"})
    key = endpoint.api_key.get_secret_value() if endpoint.api_key is not None else None
    return {**values, "api_key": key}
