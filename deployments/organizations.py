"""`knowledge organization`: everything of an organisation, written out or erased."""

import asyncio
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from deployments.database import open_database
from deployments.graph_export import load_all_exports
from deployments.home import StackHome
from deployments.prefect_api import open_prefect
from knowledge.errors import ConfigurationError
from knowledge.exports import RdfFormat, export_jsonl, export_rdf, mentions_jsonl
from knowledge.ids import OrganizationId
from knowledge.settings import Settings
from tables.documents import document_texts, ontology_sources
from tables.organization_rows import reading_rows
from tables.session import Database
from tasks.erasure import Erased, Eraser
from tasks.keepsakes import Keepsakes

_CANCEL_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was erased, and which directories of this machine went with it."""

    erased: Erased
    directories: tuple[Path, ...]

    def as_json(self) -> dict[str, object]:
        """One object; `rows` has the tables from which something went."""
        rows = {table: count for table, count in self.erased.rows.items() if count}
        return {"rows": rows, "flow_runs": self.erased.flow_runs, "directories": list(map(str, self.directories))}


def export_organization(settings: Settings, organization_id: OrganizationId, out: Path) -> dict[str, int]:
    """Writes all that the organisation has into `out`; the number of rows of each table.

    `documents/` and `ontologies/` hold what came in, by id, `graph.jsonl`, `mentions.jsonl` and `graph.trig` what came
    out of it last, and `tables/` every row of every table as JSON lines, as of one moment. `manifest.json` counts.

    Raises:
        ConfigurationError: no database is reachable, or `out` is there and not an empty directory, or cannot be
            written into.
    """
    try:
        if out.exists() and (not out.is_dir() or any(out.iterdir())):
            raise ConfigurationError(f"{out} is there already: give a directory that is new or empty")
        return _export(settings, organization_id, out)
    except OSError as error:
        raise ConfigurationError(f"{out} was not written: {error.strerror or error}") from error


def _export(settings: Settings, organization_id: OrganizationId, out: Path) -> dict[str, int]:
    with open_database(settings) as database:
        counts = _write_rows(database, organization_id, out / "tables")
        _write_sources(database, organization_id, out)
    _write_graph(settings, organization_id, out)
    manifest = {"organization_id": organization_id, "rows": counts}
    (out / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return counts


def _write_rows(database: Database, organization_id: OrganizationId, directory: Path) -> dict[str, int]:
    directory.mkdir(parents=True)
    with reading_rows(database, organization_id) as rows:
        return {table: _write_lines(directory / f"{table}.jsonl", rows.lines(table)) for table in rows.tables}


def _write_sources(database: Database, organization_id: OrganizationId, out: Path) -> None:
    documents, ontologies = out / "documents", out / "ontologies"
    documents.mkdir()
    ontologies.mkdir()
    for document_id, text in document_texts(database, organization_id):
        (documents / f"{document_id}.txt").write_text(text, encoding="utf-8", newline="")
    for source in ontology_sources(database, organization_id):
        (ontologies / f"{source.id}{source.suffix}").write_bytes(source.content)


def _write_graph(settings: Settings, organization_id: OrganizationId, out: Path) -> None:
    exports = load_all_exports(settings, organization_id)
    _write_lines(out / "graph.jsonl", export_jsonl(exports))
    _write_lines(out / "mentions.jsonl", mentions_jsonl(exports))
    (out / "graph.trig").write_bytes(export_rdf(exports, RdfFormat.TRIG))


def _write_lines(path: Path, lines: Iterable[str]) -> int:
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for line in lines:
            file.write(line + "\n")
            count += 1
    return count


def erase_organization(settings: Settings, organization_id: OrganizationId, *, cancel_runs: bool) -> Erasure:
    """Erases all that the organisation has: rows, Prefect's flow runs, and what this machine keeps below the home.

    Raises:
        ErasureRefused: something of it is under way and `cancel_runs` does not say what to do, or did not end.
        ConfigurationError: no stack runs and no `DATABASE_URL` is set, or the Prefect API does not answer.
    """
    return asyncio.run(_erase(settings, organization_id, cancel_runs=cancel_runs))


async def _erase(settings: Settings, organization_id: OrganizationId, *, cancel_runs: bool) -> Erasure:
    with open_database(settings) as database:
        async with open_prefect(settings) as client:
            eraser = Eraser(client, database, organization_id)
            if cancel_runs:
                await eraser.cancel(_CANCEL_SECONDS)
            erased = await eraser.erase()
    exports = StackHome.of(settings).root / "exports" / organization_id
    directories = (Keepsakes.directory(settings, organization_id), exports)
    return Erasure(erased, tuple(each for each in directories if _is_removed(each)))


def _is_removed(directory: Path) -> bool:
    if not directory.is_dir():
        return False
    shutil.rmtree(directory)
    return True
