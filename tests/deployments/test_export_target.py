"""Exports that leave the command: to a file, or to an S3-compatible store; seen whole or not at all."""

import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from moto.server import ThreadedMotoServer
from obstore.store import S3Store
from typer.testing import CliRunner

from deployments import graph_export
from deployments.cli import app
from deployments.export_target import write_out
from deployments.object_store import ObjectAddress
from knowledge.errors import ConfigurationError, InputRefused

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


@pytest.mark.parametrize("url", ["s3://", "s3://bucket", "s3://bucket/", "s3:///key", "s3://bucket/prefix/"])
def test_addresses_that_name_no_object_are_refused(url: str) -> None:
    """Before anything is exported."""
    with pytest.raises(InputRefused, match="names no object"):
        ObjectAddress.of(url)


def test_files_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    """A file stands where a directory is wanted."""
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="was not written"):
        write_out(str(tmp_path / "file" / "graph.ttl"), [b"x"])
