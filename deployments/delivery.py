"""What a finished run is handed over as: files, and the JSON object of `--json`."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from deployments.export_target import ExportDirectory, write_out
from deployments.report import load_report, save_page
from deployments.submission import Submitted
from deployments.watching import Watched
from knowledge.domain import Document, ExecutionStatus, WorkflowExecutionState
from knowledge.exports import GraphExport, RdfFormat, export_jsonl, export_rdf, mentions_jsonl
from tables.graph_store import load_graph
from tables.session import Database

_STATISTICS = (
    "chunks",
    "mentions",
    "entities",
    "relations",
    "model_calls",
    "cached_calls",
    "embedding_calls",
    "input_tokens",
    "output_tokens",
    "seconds",
    "failed_items",
    "rejected",
)


@dataclass(frozen=True, slots=True)
class Delivered:
    """An execution at its end, the graph if it completed, and where its files or objects are."""

    watched: Watched
    export: GraphExport | None
    files: dict[str, str]

    @property
    def status(self) -> str:
        """The execution's status; `failed` for a run that was lost."""
        state = self.watched.state
        return state.status.value if state is not None and state.status.is_final else ExecutionStatus.FAILED.value

    @property
    def error(self) -> str | None:
        """Why it did not complete."""
        state = self.watched.state
        return (state.error if state is not None and state.error else None) or self.watched.lost

    def as_json(self) -> dict[str, object]:
        """The object that `--json` gives for an execution."""
        state, submitted = self.watched.state, self.watched.submitted
        numbers = asdict(state.statistics) if state is not None else {}
        found: dict[str, object] = {
            "execution_id": state.id if state is not None else None,
            "flow_run_id": submitted.flow_run_id,
            "document": str(submitted.path),
            "status": self.status,
            "resumes": state.resumes if state is not None else 0,
            "stats": {name: numbers.get(name, 0) for name in _STATISTICS},
            "exports": dict(self.files),
        }
        return found if self.error is None else {**found, "error": self.error}


def deliver(database: Database, watched: Sequence[Watched], out: ExportDirectory) -> tuple[Delivered, ...]:
    """Writes `out/<document>/graph.jsonl`, `graph.ttl` and `mentions.jsonl` for each completed execution.

    `out/graph.jsonl` has the graphs of all of them, and `out/report.html` shows them and what happened, also to those
    that did not complete. Where all were refused, and nothing happened, what an earlier run left there stays.

    Raises:
        ConfigurationError: something cannot be written.
    """
    seen: Counter[str] = Counter()
    delivered = tuple(_deliver(database, item, out, seen) for item in watched)
    exports = [item.export for item in delivered if item.export is not None]
    if exports:
        write_out(out.at("graph.jsonl"), _lines(export_jsonl(exports)))
    return _reported(database, delivered, out.at("report.html"))


def _reported(database: Database, delivered: tuple[Delivered, ...], page: str) -> tuple[Delivered, ...]:
    """The same, with the page on all executions of one organisation among their files."""
    states = [item.watched.state for item in delivered if item.watched.state is not None]
    if not states or all(item.watched.submitted.refused is not None for item in delivered):
        return delivered
    save_page(load_report(database, states[0].organization_id, [state.id for state in states]), page)
    return tuple(
        replace(item, files={**item.files, "report": page}) if item.watched.state is not None else item
        for item in delivered
    )


def _deliver(database: Database, item: Watched, out: ExportDirectory, seen: Counter[str]) -> Delivered:
    state, document, ontology = item.state, item.submitted.document, item.submitted.ontology
    if state is None or state.status is not ExecutionStatus.COMPLETED or document is None or ontology is None:
        return Delivered(item, None, {})
    export = _export_of(database, item.submitted, document, state)
    seen[document.name] += 1
    name = document.name if seen[document.name] == 1 else f"{document.name}-{seen[document.name]}"
    files = {
        "jsonl": out.at(name, "graph.jsonl"),
        "ttl": out.at(name, "graph.ttl"),
        "mentions": out.at(name, "mentions.jsonl"),
    }
    write_out(files["jsonl"], _lines(export_jsonl([export])))
    write_out(files["ttl"], [export_rdf([export], RdfFormat.TURTLE)])
    write_out(files["mentions"], _lines(mentions_jsonl([export])))
    return Delivered(item, export, files)


def _export_of(
    database: Database, submitted: Submitted, document: Document, state: WorkflowExecutionState
) -> GraphExport:
    assert state.extraction_id is not None
    assert submitted.ontology is not None
    graph = load_graph(database, submitted.organization_id, state.extraction_id)
    return GraphExport(
        document=document,
        ontology=submitted.ontology.ontology,
        graph=graph,
        execution_id=state.id,
        started_at=state.started_at,
        ended_at=state.ended_at,
    )


def _lines(lines: Iterable[str]) -> Iterator[bytes]:
    return (f"{line}\n".encode() for line in lines)
