"""References are read from where this installation may read, and nowhere else."""

from pathlib import Path

import pytest

from knowledge.errors import InputRefused, InvalidId, LocationRefused, NotFound, OntologyRefused
from knowledge.ids import DocumentId, OrganizationId
from knowledge.settings import DocumentSettings
from tables.session import Database
from tasks.inputs import Inputs
from tests.sample import ONTOLOGY, TEXT
from tests.scripted_endpoint import JSON, Reply, scripted


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An allowed directory, with a document in it and a secret beside it."""
    allowed = tmp_path / "allowed"
    allowed.mkdir()
    (allowed / "brandt.txt").write_text(TEXT)
    (allowed / "sample.ttl").write_bytes(ONTOLOGY)
    (tmp_path / "secret.txt").write_text("Nobody may read this.")
    return allowed


def _inputs(database: Database, organization_id: OrganizationId, *roots: str, max_bytes: int = 10_000) -> Inputs:
    return Inputs(database, organization_id, DocumentSettings(allowed_roots=roots, max_bytes=max_bytes))


async def test_a_file_is_stored_and_then_known_by_its_id(
    database: Database, organization_id: OrganizationId, root: Path
) -> None:
    """The deployment takes either."""
    inputs = _inputs(database, organization_id, str(root))
    document = await inputs.document("brandt.txt")
    assert (document.name, document.text) == ("brandt", TEXT)
    assert await inputs.document(document.id) == document
    ontology = await inputs.ontology(str(root / "sample.ttl"))
    assert await inputs.ontology(ontology.id) == ontology


@pytest.mark.parametrize("path", ["../secret.txt", "/etc/hostname", "~/.ssh/id_rsa", "link.txt", "a/../../secret.txt"])
async def test_a_path_that_climbs_out_is_refused(
    database: Database, organization_id: OrganizationId, root: Path, path: str
) -> None:
    """Links are followed before the question is asked."""
    (root / "link.txt").symlink_to(root.parent / "secret.txt")
    with pytest.raises(LocationRefused):
        await _inputs(database, organization_id, str(root)).document(path)


@pytest.mark.parametrize("path", ["missing.txt", ".", "", "brandt.txt\0"])
async def test_a_path_with_nothing_to_read_is_refused(
    database: Database, organization_id: OrganizationId, root: Path, path: str
) -> None:
    """One sentence, not a traceback."""
    with pytest.raises(InputRefused):
        await _inputs(database, organization_id, str(root)).document(path)


async def test_a_directory_is_refused_and_shown_the_way_to_a_batch(
    database: Database, organization_id: OrganizationId, root: Path
) -> None:
    """Whoever names a folder of documents wants them all."""
    (root / "papers").mkdir()
    with pytest.raises(LocationRefused, match=r"is a directory: .*batch"):
        await _inputs(database, organization_id, str(root)).document("papers")


async def test_another_organisations_document_does_not_exist(
    database: Database, organization_id: OrganizationId, root: Path
) -> None:
    """Its id gives nothing away."""
    document = await _inputs(database, organization_id, str(root)).document("brandt.txt")
    stranger = OrganizationId(f"{organization_id}-x")
    with pytest.raises(NotFound):
        await _inputs(database, stranger, str(root)).document(document.id)


async def test_an_id_that_is_none_is_refused(database: Database, organization_id: OrganizationId) -> None:
    """A mistyped id is said to be one."""
    with pytest.raises(InvalidId):
        await _inputs(database, organization_id).document(f"{DocumentId.prefix}_123")


async def test_an_over_long_file_is_refused_without_reading_it_all(
    database: Database, organization_id: OrganizationId, root: Path
) -> None:
    """The limit protects memory too."""
    with pytest.raises(InputRefused, match="longer than the 100 bytes"):
        await _inputs(database, organization_id, str(root), max_bytes=100).document("brandt.txt")


async def test_an_ontology_without_classes_is_refused(
    database: Database, organization_id: OrganizationId, root: Path
) -> None:
    """There would be nothing to extract."""
    (root / "empty.ttl").write_text("<urn:a> <urn:b> <urn:c> .")
    with pytest.raises(OntologyRefused, match=r"empty\.ttl"):
        await _inputs(database, organization_id, str(root)).ontology("empty.ttl")


def _serve(path: str, body: JSON) -> Reply:
    return Reply(TEXT.encode())


async def test_a_url_is_read_only_below_an_allowed_one(database: Database, organization_id: OrganizationId) -> None:
    """Otherwise a run could be made to ask anything inside the network."""
    with scripted(_serve) as server:
        base = server.base_url
        allowed = _inputs(database, organization_id, f"{base}/texts/")
        assert (await allowed.document(f"{base}/texts/brandt.txt")).text == TEXT
        for url in (f"{base}/other.txt", f"{base}/texts/../other.txt", f"{base}/texts/%2e%2e/x", f"{base}/textsx"):
            with pytest.raises(LocationRefused):
                await allowed.document(url)
        with pytest.raises(LocationRefused):
            await _inputs(database, organization_id).document(f"{base}/texts/brandt.txt")
