"""Manifests: lists of documents in a file, as JSON lines or CSV."""

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from knowledge.errors import InputRefused

MANIFEST_SUFFIXES = (".jsonl", ".csv")
_COLUMNS = ("path", "name", "ontology")
# What spreadsheets write instead of commas, where a comma is the decimal sign or the text is copied.
_OTHER_SEPARATORS = {";": "`;`", "\t": "a tab"}


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """A document in a manifest: where it is, what it is called and what it is read with, if the manifest says so."""

    path: str
    name: str | None
    ontology: str | None


class ManifestRefused(InputRefused):
    """A manifest that cannot be read; `line` counts from 1."""

    def __init__(self, name: str, line: int, problem: str) -> None:
        super().__init__(f"manifest {name!r}, line {line}: {problem}")
        self.name = name
        self.line = line


def read_manifest(text: str, name: str) -> Iterator[ManifestEntry]:
    """The manifest's entries in its order, one at a time. Its name's suffix says how it is written.

    JSON lines are objects with `path` and optional `name` and `ontology`; CSV has a first row that names the same
    columns. Empty lines are skipped; other fields are ignored.

    Raises:
        ManifestRefused: a line is no such object or row.
    """
    rows = _csv_rows(text, name) if name.lower().endswith(".csv") else _json_rows(text, name)
    for line, row in rows:
        path, title, ontology = (row.get(column) for column in _COLUMNS)
        if not isinstance(path, str) or not path.strip():
            raise ManifestRefused(name, line, "has no `path`: name a file, URL or document id there")
        for column, value in (("name", title), ("ontology", ontology)):
            if value is not None and not isinstance(value, str):
                raise ManifestRefused(name, line, f"`{column}` must be text")
        yield ManifestEntry(path.strip(), cast(str | None, title) or None, cast(str | None, ontology) or None)


def _json_rows(text: str, name: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row: object = json.loads(line)
        except ValueError as error:
            raise ManifestRefused(name, number, f"is not JSON ({error})") from error
        if not isinstance(row, dict):
            raise ManifestRefused(name, number, 'must be an object such as {"path": "a.txt"}')
        yield number, cast(dict[str, object], row)


def _found_between(columns: Sequence[str]) -> str:
    for separator, said in _OTHER_SEPARATORS.items():
        if any("path" in (part.strip() for part in column.split(separator)) for column in columns):
            return f"; here {said} is between them"
    return ""


def _csv_rows(text: str, name: str) -> Iterator[tuple[int, Mapping[str, object]]]:
    reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    columns = reader.fieldnames or ()
    if "path" not in columns:
        raise ManifestRefused(
            name,
            1,
            "the first row must name the columns, with commas between them: path, and optionally name and ontology"
            + _found_between(columns),
        )
    try:
        for row in reader:
            if any(row.values()):
                yield reader.line_num, row
    except csv.Error as error:
        raise ManifestRefused(name, reader.line_num, f"is not CSV ({error})") from error
