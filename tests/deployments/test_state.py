"""The state file, and what is read out of it."""

import os
from dataclasses import replace
from pathlib import Path

from pydantic import SecretStr

from deployments.processes import ProcessIdentity
from deployments.state import STOPPING, PartState, StackState, model_fingerprint, read_state, write_state
from knowledge.settings import EndpointSettings, Settings


def _ourselves() -> ProcessIdentity:
    identity = ProcessIdentity.of(os.getpid())
    assert identity is not None
    return identity


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    """All commands share one picture of the stack."""
    state = StackState(
        supervisor=_ourselves(),
        ready=True,
        api_url="http://127.0.0.1:4200/api",
        database_url="postgresql+psycopg://postgres@/knowledge?host=/s",
        model_fingerprint="f",
        parts={"worker": PartState(_ourselves(), "d")},
    )
    write_state(tmp_path / "stack.json", state)
    assert read_state(tmp_path / "stack.json") == state
    assert [path.name for path in tmp_path.iterdir()] == ["stack.json"]


def test_only_the_owner_may_read_the_state(tmp_path: Path) -> None:
    """A database URL may carry a password."""
    write_state(tmp_path / "stack.json", StackState())
    assert (tmp_path / "stack.json").stat().st_mode & 0o777 == 0o600


def test_a_missing_or_foreign_file_is_an_empty_state(tmp_path: Path) -> None:
    """A stack that never ran, or another version's file, must not stop `up`."""
    assert read_state(tmp_path / "none.json") == StackState()
    (tmp_path / "torn.json").write_text('{"parts": {"worker": ')
    assert read_state(tmp_path / "torn.json") == StackState()


def test_a_stack_runs_only_while_its_supervisor_lives() -> None:
    """A state file outlives a killed supervisor."""
    state = StackState(supervisor=_ourselves(), ready=True)
    assert state.is_running
    assert not replace(state, ready=False).is_running
    assert not replace(state, supervisor=replace(_ourselves(), created_at=0.0)).is_running
    assert not replace(state, supervisor=None).is_running


def test_a_stack_is_stopped_once_it_is_told_to_and_not_while_anything_of_it_works() -> None:
    """Flow runs go on without a supervisor, which the next `up` replaces, and not without parts."""
    alive, dead = PartState(_ourselves(), "d"), PartState(replace(_ourselves(), created_at=0.0), "d")
    assert StackState().is_stopped
    assert StackState(parts={"server": dead}).is_stopped
    assert not StackState(parts={"server": dead, "worker": alive}).is_stopped
    assert not StackState(supervisor=_ourselves(), phase="starting the worker").is_stopped
    assert StackState(supervisor=_ourselves(), phase=STOPPING, parts={"worker": alive}).is_stopped


def test_a_dead_part_has_no_process() -> None:
    """`status` says what is, not what was written down."""
    dead = replace(_ourselves(), created_at=0.0)
    state = StackState(parts={"server": PartState(dead, "d"), "worker": PartState(_ourselves(), "d")})
    assert state.process("server") is None
    assert state.process("worker") == _ourselves()
    assert state.process("recovery") is None


def test_the_fingerprint_changes_with_every_model_setting_and_with_nothing_else() -> None:
    """A run that carries other model settings than the stack must notice."""
    chat = EndpointSettings(base_url="http://localhost/v1", model="m", api_key=SecretStr("k"))
    settings = Settings(chat=chat)
    changed = [
        Settings(chat=chat.model_copy(update={"model": "other"})),
        Settings(chat=chat.model_copy(update={"api_key": SecretStr("other")})),
        Settings(chat=chat.model_copy(update={"max_concurrency": 1})),
        Settings(chat=chat, embedding=chat),
        Settings(chat=chat, calibration=Path("calibration.json")),
    ]
    assert len({model_fingerprint(each) for each in [settings, *changed]}) == 6
    assert model_fingerprint(settings) == model_fingerprint(Settings(chat=chat, port=9999, home=Path("/x")))
