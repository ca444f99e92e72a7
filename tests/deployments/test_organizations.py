"""`knowledge organization` and `knowledge prune`, on a database without a stack."""

import json
import uuid
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from deployments.cli import app
from knowledge.errors import ConfigurationError, ErasureRefused
from knowledge.ids import FlowRunId, OrganizationId
from knowledge.settings import Settings
from tables.organization_rows import count_rows
from tables.schema import upgrade
from tables.session import Database, create_database
from tasks.keepsakes import Keepsakes
from tests.organizations import execution, fill_organization


@pytest.fixture
def home(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of commands that use the session's database."""
    monkeypatch.setenv("KNOWLEDGE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KNOWLEDGE_DATABASE_URL", database_url)
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    return tmp_path / "home"


def command(*arguments: str | Path) -> Any:
    """What the command printed; the error that it ended with is raised."""
    done = CliRunner().invoke(app, [str(each) for each in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done.stdout


def lines_of(path: Path) -> list[Any]:
    """The objects of a file of JSON lines."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_an_export_has_every_row_what_came_in_and_the_graph(
    database: Database, organization_id: OrganizationId, home: Path, tmp_path: Path
) -> None:
    """Whoever leaves can take all that is theirs along, and only that."""
    published, out = fill_organization(database, organization_id), tmp_path / "out"
    fill_organization(database, OrganizationId(f"other-{uuid.uuid4().hex}"))
    command("organization", "export", organization_id, "--out", out)
    counts = count_rows(database, organization_id)
    rows = {path.stem: lines_of(path) for path in (out / "tables").iterdir()}
    assert {table: len(found) for table, found in rows.items()} == counts
    assert {row["organization_id"] for found in rows.values() for row in found} == {organization_id}
    assert json.loads((out / "manifest.json").read_text())["rows"] == counts
    document = out / "documents" / f"{published.document.id}.txt"
    assert document.read_text("utf-8") == published.document.text
    assert [path.suffix for path in (out / "ontologies").iterdir()] == [".ttl"]
    assert "Night Ferry" in (out / "graph.jsonl").read_text("utf-8")
    assert str(published.execution_id) in (out / "graph.trig").read_text("utf-8")


def test_an_export_that_cannot_be_written_is_said_in_a_sentence(
    organization_id: OrganizationId, home: Path, tmp_path: Path
) -> None:
    """As on a disk that is full or may only be read; here a file stands where a directory is wanted."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="was not written: Not a directory"):
        command("organization", "export", organization_id, "--out", tmp_path / "file" / "out")


def test_an_export_does_not_mix_with_what_is_there(organization_id: OrganizationId, home: Path, tmp_path: Path) -> None:
    """Two organisations in one directory would be neither's."""
    (tmp_path / "something").touch()
    with pytest.raises(ConfigurationError, match="new or empty"):
        command("organization", "export", organization_id, "--out", tmp_path)


def test_erasing_takes_rows_and_files_and_must_be_confirmed(
    database: Database, organization_id: OrganizationId, home: Path
) -> None:
    """A mistyped command loses nothing; a confirmed one leaves nothing."""
    fill_organization(database, organization_id)
    kept = Keepsakes.of(Settings(), organization_id, FlowRunId(str(uuid.uuid4()))).answers
    exported = home / "exports" / organization_id / "graph.jsonl"
    for path in (kept, exported):
        path.parent.mkdir(parents=True)
        path.write_text("theirs")
    with pytest.raises(ErasureRefused, match="--yes"):
        command("organization", "erase", organization_id)
    assert kept.exists()
    erased = json.loads(command("organization", "erase", organization_id, "--yes", "--json"))
    assert erased["flow_runs"] is None
    assert sum(count_rows(database, organization_id).values()) == 0
    assert not kept.parent.exists()
    assert not exported.parent.exists()


def test_pruning_by_hand_follows_the_settings(
    empty_database_url: str, organization_id: OrganizationId, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First as a dry run, then in earnest, each saying what it did for whom."""
    upgrade(empty_database_url)
    monkeypatch.setenv("KNOWLEDGE_DATABASE_URL", empty_database_url)
    database = create_database(empty_database_url)
    for _ in range(3):
        execution(database, organization_id)
    assert organization_id not in json.loads(command("prune", "--dry-run", "--json"))["organizations"]
    monkeypatch.setenv("KNOWLEDGE_RETENTION__LEAST_EXECUTIONS", "1")
    monkeypatch.setenv("KNOWLEDGE_RETENTION__MOST_EXECUTIONS", "2")
    for arguments in (("--dry-run",), ()):
        assert json.loads(command("prune", *arguments, "--json"))["organizations"][organization_id]["executions"] == 1
    assert "0 gone" in command("prune")
    assert count_rows(database, organization_id)["workflow_execution"] == 2
    database.close()
