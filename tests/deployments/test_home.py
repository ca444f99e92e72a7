"""Homes that are none: what a stranger's first command meets on a machine that is not theirs."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from deployments.cli import app
from deployments.home import StackHome
from deployments.state import read_state
from knowledge.errors import ConfigurationError

_RUN = ("run", "a.txt", "--ontology", "a.ttl", "--out", ".")


@pytest.mark.parametrize("command", [("up",), _RUN], ids=["up", "run"])
def test_a_home_that_cannot_be_made_is_said_in_a_sentence(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory that may only be read, or here a file in its place, is answered by what to set."""
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KNOWLEDGE_HOME", str(tmp_path / "file" / "home"))
    done = CliRunner().invoke(app, command)
    assert isinstance(done.exception, ConfigurationError)
    assert "Not a directory" in done.exception.message
    assert "set KNOWLEDGE_HOME" in done.exception.message


def test_a_lock_that_cannot_be_opened_is_said_in_a_sentence(tmp_path: Path) -> None:
    """Somebody else's home, as a rule; the directories may be there already."""
    home = StackHome(tmp_path)
    home.lock_file.mkdir()
    with pytest.raises(ConfigurationError, match="set KNOWLEDGE_HOME"), home.supervising():
        pass


def test_a_state_that_cannot_be_read_is_not_taken_for_none(tmp_path: Path) -> None:
    """Or a second stack would be started beside the first."""
    (tmp_path / "stack.json").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_state(tmp_path / "stack.json")
    (tmp_path / "file").touch()
    assert not read_state(tmp_path / "file" / "stack.json").is_supervised
