"""Manifests name documents; what is wrong in one is said with its line."""

import pytest

from knowledge.manifests import ManifestEntry, ManifestRefused, read_manifest


def test_json_lines_and_csv_say_the_same() -> None:
    """Teams write whichever they have."""
    wanted = [ManifestEntry("a, b.txt", "A", None), ManifestEntry("c.pdf", None, "o.ttl")]
    lines = '{"path": "a, b.txt", "name": "A", "more": 1}\n\n{"path": "c.pdf", "ontology": "o.ttl"}\n'
    assert list(read_manifest(lines, "m.jsonl")) == wanted
    table = 'path,name,ontology\r\n"a, b.txt",A,\r\n\r\nc.pdf,,o.ttl\r\n'
    assert list(read_manifest(table, "m.CSV")) == wanted


@pytest.mark.parametrize(
    ("text", "name", "problem"),
    [
        ('{"path": "a"}\n{"path": ""}', "m.jsonl", "line 2: has no `path`"),
        ("nonsense", "m.jsonl", "line 1: is not JSON"),
        ("[1]", "m.jsonl", "line 1: must be an object"),
        ('{"path": "a", "name": 3}', "m.jsonl", "line 1: `name` must be text"),
        ("file,name\na,b", "m.csv", "line 1: the first row must name the columns"),
        ("path;name\na;b", "m.csv", "line 1: the first row must name the columns, with commas between them"),
        ("path;name\na;b", "m.csv", "ontology; here `;` is between them"),
        ("path\tname\na\tb", "m.csv", "ontology; here a tab is between them"),
        ("path,name\n,b", "m.csv", "line 2: has no `path`"),
        ("", "m.csv", "line 1: the first row"),
    ],
)
def test_a_bad_line_is_refused_by_its_number(text: str, name: str, problem: str) -> None:
    """Nobody looks through ten thousand lines."""
    with pytest.raises(ManifestRefused, match=problem):
        list(read_manifest(text, name))
