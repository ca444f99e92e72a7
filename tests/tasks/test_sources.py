"""What a batch's sources name, and what is left alone."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from knowledge.errors import LocationRefused
from knowledge.settings import DocumentSettings
from tasks.sources import Listing, Sources, look_of

_ONTOLOGY = "/o.ttl"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Documents at two levels, and files that are none."""
    below = tmp_path / "in" / "below"
    below.mkdir(parents=True)
    (tmp_path / "in" / ".hidden").mkdir()
    for name in ("b.txt", "a.PDF", "picture.png", ".secret.txt", "~$a.docx", "below/c.md", ".hidden/d.txt"):
        (tmp_path / "in" / name).write_text("text")
    return tmp_path / "in"


def _sources(folder: Path, quiet_seconds: float = 0.0, now: float = 0.0) -> Sources:
    return Sources(DocumentSettings(allowed_roots=(str(folder.parent),)), quiet_seconds, lambda: now)


def _listed(sources: Sources, named: Sequence[str], listing: Listing | None = None) -> list[str]:
    found = sources.documents(sources.canonical(named), _ONTOLOGY, listing or Listing())
    return [document.location for document in found]


def test_a_folder_names_the_documents_in_it_and_below(folder: Path) -> None:
    """Sorted; hidden files and other kinds are not documents."""
    wanted = [str(folder / name) for name in ("a.PDF", "b.txt", "below/c.md")]
    assert _listed(_sources(folder), ["in"]) == wanted
    assert _listed(_sources(folder), [str(folder)]) == wanted


def test_a_glob_names_what_matches_within_the_allowed_directories(folder: Path) -> None:
    """A link that leads out of them is not followed."""
    outside = folder.parent.parent / "outside.txt"
    outside.write_text("secret")
    (folder / "link.txt").symlink_to(outside)
    assert _listed(_sources(folder), ["in/*.txt"]) == [str(folder / ".secret.txt"), str(folder / "b.txt")]
    assert _listed(_sources(folder), ["in/**/*.md"]) == [str(folder / "below/c.md")]


def test_a_manifest_names_documents_beside_it(folder: Path) -> None:
    """With their own names and ontologies; a URL or an id stays as it is."""
    url, stored = "https://example.org/d.html", "doc_" + "0" * 32
    rows = ['{"path": "below/c.md", "name": "C", "ontology": "own.ttl"}', f'{{"path": "{url}"}}']
    (folder / "m.jsonl").write_text("\n".join([*rows, f'{{"path": "{stored}"}}']))
    found = list(_sources(folder).documents([str(folder / "m.jsonl")], _ONTOLOGY, Listing()))
    assert [document.location for document in found] == [str(folder / "below/c.md"), url, stored]
    assert [document.name for document in found] == ["C", "d", stored]
    assert [document.ontology for document in found] == [str(folder / "own.ttl"), _ONTOLOGY, _ONTOLOGY]


def test_what_is_not_there_is_listed_and_noted(folder: Path) -> None:
    """It fails by itself when it is read, and nothing is retracted because of it."""
    listing = Listing()
    assert _listed(_sources(folder), ["in/b.txt", "in/gone.txt"], listing)[1] == str(folder / "gone.txt")
    assert listing.absent == [str(folder / "gone.txt")]


def test_outside_the_allowed_directories_nothing_is_listed(folder: Path) -> None:
    """A batch reads no more than a run."""
    for source in ("/etc", "../*.txt", "/etc/*"):
        with pytest.raises(LocationRefused):
            _sources(folder).canonical([source])


def test_a_file_that_is_being_written_is_left_for_later(folder: Path) -> None:
    """Until it has been quiet for long enough."""
    os.utime(folder / "b.txt", (100.0, 100.0))
    for name in ("a.PDF", "below/c.md"):
        os.utime(folder / name, (50.0, 50.0))
    listing = Listing()
    assert str(folder / "b.txt") not in _listed(_sources(folder, 10.0, now=109.0), ["in"], listing)
    assert listing.unsettled == [str(folder / "b.txt")]
    assert str(folder / "b.txt") in _listed(_sources(folder, 10.0, now=110.0), ["in"])


def test_a_file_looks_changed_when_it_or_its_ontology_is(folder: Path) -> None:
    """Without being read."""
    ontology = folder / "o.ttl"
    ontology.write_text("o")
    looks = [look_of(str(folder / "b.txt"), str(ontology))]
    (folder / "b.txt").write_text("longer text")
    looks.append(look_of(str(folder / "b.txt"), str(ontology)))
    ontology.write_text("another")
    looks.append(look_of(str(folder / "b.txt"), str(ontology)))
    assert len(set(looks)) == 3
    assert look_of("https://example.org/a", str(folder / "gone")) == ""
