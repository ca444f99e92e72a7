"""Exports that leave the command: to a file, or to an S3-compatible store; seen whole or not at all."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import httpx
import pytest
from moto.server import ThreadedMotoServer
from obstore.store import S3Store
from typer.testing import CliRunner

from deployments import graph_export
from deployments.cli import app
from deployments.delivery import deliver
from deployments.export_target import ExportDirectory, require_path, write_out
from deployments.object_store import ObjectAddress
from deployments.submission import Submitted
from deployments.watching import Watched
from knowledge.errors import ConfigurationError, InputRefused
from knowledge.ids import OntologyId, OrganizationId
from knowledge.ontology import load_ontology
from tables.ledger import Ledger
from tables.session import Database
from tasks.inputs import StoredOntology
from tests.graphs import ONTOLOGY, publish_facts

_AWS = ("AWS_ACCESS_KEY_ID", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_METADATA_ENDPOINT", "AWS_SKIP_SIGNATURE")
# One more than a part: the object is sent in two.
_LONG = [b"x" * 1_000_000] * 9


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """A store that speaks S3, with a bucket `graphs`."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    url = f"http://{host}:{port}"
    httpx.put(f"{url}/graphs", trust_env=False).raise_for_status()
    yield url
    server.stop()


@pytest.fixture
def store(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> S3Store:
    """The bucket, reached as the variables say, which `knowledge` finds set, too."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    return S3Store("graphs", client_options={"allow_http": True})


def _read(store: S3Store, key: str) -> bytes:
    return bytes(store.get(key).bytes())


def _breaking(pieces: list[bytes]) -> Iterator[bytes]:
    yield from pieces
    raise ConfigurationError("the database went away")


@pytest.mark.parametrize("pieces", [[], [b"one ", b"two"], _LONG], ids=["empty", "small", "in parts"])
def test_objects_hold_what_was_exported(store: S3Store, pieces: list[bytes]) -> None:
    """Whatever its size, and whatever was there before."""
    for _ in range(2):
        write_out("s3://graphs/acme/graph.ttl", pieces)
        assert _read(store, "acme/graph.ttl") == b"".join(pieces)


def test_half_an_export_is_not_seen(store: S3Store, tmp_path: Path) -> None:
    """What was there stays, in a store and on a disk, and nothing is left beside it."""
    file = tmp_path / "deep" / "graph.ttl"
    for target in ("s3://graphs/half.ttl", str(file)):
        write_out(target, [b"whole"])
        with pytest.raises(ConfigurationError, match="went away"):
            write_out(target, _breaking(_LONG))
    assert _read(store, "half.ttl") == file.read_bytes() == b"whole"
    assert list(file.parent.iterdir()) == [file]


def test_the_command_writes_objects(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """`knowledge export --out s3://…` writes the same bytes that it prints otherwise."""

    def export(*_: object, **__: object) -> Iterator[bytes]:
        yield from (b"<a> <b> ", b"<c> .\n")

    monkeypatch.setattr(graph_export, "export_graph", export)
    done = CliRunner().invoke(app, ["export", "--format", "nq", "--out", "s3://graphs/acme.nq"])
    assert (done.exit_code, done.stdout) == (0, "")
    assert _read(store, "acme.nq").decode() == CliRunner().invoke(app, ["export", "--format", "nq"]).stdout


def test_a_bucket_that_is_not_there_is_named(store: S3Store) -> None:
    """Not the store's XML."""
    with pytest.raises(ConfigurationError, match=r"s3://nobody/a\.ttl was not written: there is no bucket 'nobody'"):
        write_out("s3://nobody/a.ttl", [b"x"])


def test_a_store_that_does_not_answer_is_said_in_a_sentence(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the client's innards."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(ConfigurationError, match=r"s3://graphs/a\.ttl was not written") as caught:
        write_out("s3://graphs/a.ttl", [b"x"])
    assert len(caught.value.message) < 400
    assert "secret" not in caught.value.message


def test_missing_credentials_are_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than looked for at an address where only a cloud's machines find somebody."""
    for name in _AWS:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationError, match="AWS_ACCESS_KEY_ID"):
        write_out("s3://graphs/a.ttl", [b"x"])


def test_a_missing_extra_is_named(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is optional, and who lacks it must learn its name."""
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    with pytest.raises(ConfigurationError, match=r"durable-knowledge\[s3\]"):
        write_out("s3://graphs/a.ttl", [b"x"])


_NO_OBJECTS = [
    "s3://",
    "s3://bucket",
    "s3://bucket/",
    "s3:///key",
    "s3://bucket/prefix/",
    "s3://bucket//a",
    "s3://b/../a",
]


@pytest.mark.parametrize("url", _NO_OBJECTS)
def test_addresses_that_name_no_object_are_refused(url: str) -> None:
    """Before anything is exported."""
    with pytest.raises(InputRefused, match="names no object"):
        ObjectAddress.of(url)


def test_files_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    """A file stands where a directory is wanted."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="was not written"):
        write_out(str(tmp_path / "file" / "graph.ttl"), [b"x"])


@pytest.mark.parametrize("root", ["s3://graphs", "s3://graphs/", "s3://graphs/acme/2026", "s3://graphs/acme/2026/"])
def test_directories_in_a_store_hold_objects(store: S3Store, root: str) -> None:
    """With names as documents have them, and without empty parts, however the prefix is written."""
    target = ExportDirectory.of(root).at("Ada & Bée", "graph.ttl")
    write_out(target, [b"x"])
    assert target.removeprefix("s3://graphs/") == f"{root[12:].strip('/')}/Ada & Bée/graph.ttl".lstrip("/")
    assert _read(store, target.removeprefix("s3://graphs/")) == b"x"


def test_a_directory_on_a_disk_is_one(tmp_path: Path) -> None:
    """Nothing is made of it before there is something to write."""
    directory = ExportDirectory.of(str(tmp_path / "out"))
    assert directory.at("a", "b.ttl") == str(tmp_path / "out" / "a" / "b.ttl")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("out", ["file", "file/deep/er"])
def test_runs_are_refused_a_place_that_cannot_become_a_directory(
    out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before a stack is started and models are paid for what could not be handed over."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("KNOWLEDGE_HOME", str(tmp_path / "home"))
    done = CliRunner().invoke(app, ["demo", "--out", str(tmp_path / out)])
    assert isinstance(done.exception, ConfigurationError)
    assert f"{tmp_path / 'file'} is not a directory" in done.exception.message
    assert not (tmp_path / "home").exists()


def test_runs_are_refused_a_directory_that_they_may_not_write_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the system says: an administrator may write into what nobody else may."""
    asked: list[Path] = []

    def access(path: Path, mode: int) -> bool:
        asked.append(path)
        return False

    monkeypatch.setattr(os, "access", access)
    with pytest.raises(ConfigurationError, match="you may not write into"):
        ExportDirectory.of(str(tmp_path / "a" / "b"))
    assert asked == [tmp_path]


@pytest.mark.parametrize("url", ["gs://bucket/prefix", "file:///tmp/out", "s3://", "s3:///a", "s3://b//a"])
def test_runs_are_refused_a_place_that_is_none(url: str, tmp_path: Path) -> None:
    """Before a stack is started and anything is paid for; and no directory of that name is made."""
    done = CliRunner().invoke(app, ["demo", "--out", url], env={"KNOWLEDGE_HOME": str(tmp_path / "home")})
    assert isinstance(done.exception, InputRefused)
    assert "s3://bucket/prefix" in done.exception.message
    assert not (tmp_path / "home").exists()


def test_runs_are_refused_a_store_that_will_not_take_them(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bucket that is misspelt, or credentials that are missing, are found before the first document is read."""
    with pytest.raises(ConfigurationError, match="there is no bucket 'grahps'"):
        ExportDirectory.of("s3://grahps/acme")
    for name in _AWS:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigurationError, match="AWS_ACCESS_KEY_ID"):
        ExportDirectory.of("s3://graphs/acme")


def test_what_is_a_directory_only_takes_no_url() -> None:
    """Rather than a directory called `s3:`."""
    with pytest.raises(InputRefused, match="give a path"):
        require_path("s3://graphs/acme")
    assert require_path("here/acme") == Path("here/acme")


def test_private_files_are_for_their_owner(tmp_path: Path) -> None:
    """Others may read the rest, as the login's mask has it."""
    for private, expected in ((True, 0), (False, 0o044)):
        file = tmp_path / f"{private}.html"
        write_out(str(file), [b"x"], private=private)
        mask = os.umask(0o022)
        os.umask(mask)
        assert file.stat().st_mode & 0o077 & 0o044 == expected & ~mask


def test_a_run_is_handed_over_as_objects(
    store: S3Store, database: Database, organization_id: OrganizationId, tmp_path: Path
) -> None:
    """The same bytes under the same names as in a directory, and `--json` says where they are."""
    published = publish_facts(database, organization_id)
    state = Ledger(database, organization_id).load(published.execution_id)
    ontology = StoredOntology(OntologyId.derive("films"), load_ontology(ONTOLOGY, "films.ttl"))
    submitted = Submitted(Path("films.txt"), organization_id, published.document, ontology)
    found: list[set[str]] = []
    for root in (str(tmp_path / "out"), f"s3://graphs/{organization_id}"):
        (delivered,) = deliver(database, [Watched(submitted, state)], ExportDirectory.of(root))
        files = delivered.as_json()["exports"]
        found.append({str(file).removeprefix(root) for file in cast(dict[str, str], files).values()})
    assert found[0] == found[1]
    names = [name for name in found[0] if not name.endswith("report.html")]
    assert sorted(names) == ["/films/graph.jsonl", "/films/graph.ttl", "/films/mentions.jsonl"]
    for name in (*names, "/graph.jsonl"):
        assert _read(store, f"{organization_id}{name}") == (tmp_path / f"out{name}").read_bytes()
    assert _read(store, f"{organization_id}/report.html").startswith(b"<!doctype html>")


def test_a_run_of_which_all_is_refused_leaves_what_is_there(
    database: Database, organization_id: OrganizationId, tmp_path: Path
) -> None:
    """An empty report in place of the last good one says nothing that the command has not said."""
    refused = Ledger(database, organization_id).refuse("d", {}, "document 'd' is empty")
    (tmp_path / "report.html").write_text("the last run's")
    watched = [Watched(Submitted(Path("d.txt"), organization_id, refused=refused), refused)]
    (delivered,) = deliver(database, watched, ExportDirectory.of(str(tmp_path)))
    assert delivered.files == {}
    assert (tmp_path / "report.html").read_text() == "the last run's"
