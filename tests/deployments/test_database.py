"""Which database a command means: the running stack's, or the one that it is told."""

import os
from pathlib import Path

import pytest

from deployments.database import open_database
from deployments.database_urls import external_urls
from deployments.home import StackHome
from deployments.processes import ProcessIdentity
from deployments.run import stack_for
from deployments.state import StackState, model_fingerprint, write_state
from knowledge.errors import ConfigurationError
from knowledge.settings import Settings


@pytest.fixture
def home(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of a stack that runs, as far as its state file can tell, with the session's database."""
    monkeypatch.setenv("KNOWLEDGE_HOME", str(tmp_path))
    monkeypatch.delenv("KNOWLEDGE_DATABASE_URL", raising=False)
    state = StackState(
        ProcessIdentity.of(os.getpid()),
        ready=True,
        api_url="http://127.0.0.1:9/api",
        database_url=external_urls(database_url).knowledge,
        model_fingerprint=model_fingerprint(Settings()),
    )
    write_state(StackHome.of(Settings()).state_file, state)
    return tmp_path


def _ignore(message: str) -> None:
    pass


def test_the_running_stacks_database_is_opened_unless_another_is_named(
    home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is read, signalled or erased elsewhere than somebody said looks like success."""
    given = database_url.partition("://")[2]
    for named in (None, f"postgresql://{given}", f"postgresql+psycopg://{given}"):
        if named is not None:
            monkeypatch.setenv("KNOWLEDGE_DATABASE_URL", named)
        with open_database(Settings()) as database:
            assert database is not None
    monkeypatch.setenv("KNOWLEDGE_DATABASE_URL", "postgresql://me:hidden@db.example.org/production")
    refused = pytest.raises(ConfigurationError, match="another database than KNOWLEDGE_DATABASE_URL")
    with refused as caught, open_database(Settings()):
        pass
    assert "hidden" not in caught.value.message


def test_runs_are_refused_on_a_stack_with_another_database(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their graphs would be stored where nobody looks for them."""
    monkeypatch.setenv("KNOWLEDGE_DATABASE_URL", "postgresql://me@db.example.org/production")
    with pytest.raises(ConfigurationError, match="another database"), stack_for(Settings(), False, _ignore):
        pass
