"""What the commands about graphs say where there is none, or nothing to show."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from deployments.cli import app
from knowledge.errors import KnowledgeError, NothingExtracted
from knowledge.ids import OrganizationId
from knowledge.queries.query import QueryRefused
from tables.session import Database
from tests.graphs import publish_facts


@pytest.fixture(autouse=True)
def _database(tmp_path: Path, database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KNOWLEDGE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("KNOWLEDGE_DATABASE_URL", database_url)


_COMMANDS = (
    ("export", "--format", "ttl"),
    ("export", "--format", "jsonl", "--out", "graph.jsonl"),
    ("check",),
    ("report",),
    ("query", "ASK { ?s ?p ?o }"),
)


@pytest.mark.parametrize("arguments", _COMMANDS, ids=lambda each: " ".join(each))
def test_an_organisation_without_a_graph_is_told_so(
    arguments: tuple[str, ...], organization_id: OrganizationId, tmp_path: Path
) -> None:
    """A slip in its name must not look like an empty graph, or one that conforms; and no file is made of it."""
    done = CliRunner().invoke(app, [*arguments, "--organization", organization_id])
    assert isinstance(done.exception, NothingExtracted)
    assert f"organisation {organization_id!r} has no graph" in done.exception.message
    assert not list(tmp_path.iterdir())


def test_no_links_are_said_to_be_none(organization_id: OrganizationId) -> None:
    """Rather than nothing; a program gets an empty list."""
    assert CliRunner().invoke(app, ["links", "--organization", organization_id]).stdout == "no links\n"
    assert CliRunner().invoke(app, ["links", "--organization", organization_id, "--json"]).stdout == "[]\n"


def _refusal(query: str, organization_id: OrganizationId) -> str:
    done = CliRunner().invoke(app, ["query", query, "--organization", organization_id])
    assert isinstance(done.exception, KnowledgeError)
    assert isinstance(done.exception, QueryRefused)
    return done.exception.message


def test_a_querys_file_that_cannot_be_read_is_said_to_be_missing(
    database: Database, organization_id: OrganizationId, tmp_path: Path
) -> None:
    """Its name is not read as SPARQL, which gives a puzzle; what may be a query is, and is asked or refused as one."""
    publish_facts(database, organization_id)
    assert "'question.rq'" in _refusal("question.rq", organization_id)
    assert "No such file" in _refusal("question.rq", organization_id)
    assert "Is a directory" in _refusal(str(tmp_path), organization_id)
    (tmp_path / "latin.rq").write_bytes("ASK { ?s ?p 'é' }".encode("latin-1"))
    assert "UTF-8" in _refusal("latin.rq", organization_id)
    assert "cannot be read: error at" in _refusal("SELECT nothing", organization_id)
    long = "ASK { ?s ?p ?o" + " " * 5_000 + "}"
    for query in ("ASK{?s?p?o}", long):
        done = CliRunner().invoke(app, ["query", query, "--organization", organization_id])
        assert done.exit_code == 0, done.exception
