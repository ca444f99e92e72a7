"""What people see of a run: a bar for each document while it goes on, a short table at the end."""

import sys
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from deployments.delivery import Delivered
from deployments.run import RunReport
from deployments.watching import Watched
from knowledge.domain import ExecutionStatus
from knowledge.exports import GraphExport

_SHOWN_FACTS = 8
_DEFAULT_ORGANIZATION = "default"

Show = Callable[[Sequence[Watched]], None]


@contextmanager
def progress_display() -> Generator[Show]:
    """Bars on a terminal; else a line on stderr whenever a document reaches another stage."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _LineDisplay().show
        return
    columns = (
        TextColumn("{task.description}", justify="left"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TextColumn("{task.fields[stage]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        yield _BarDisplay(progress).show


def stage_of(item: Watched) -> str:
    """Where a document is, or what it waits for and what can be done about it."""
    if item.state is None:
        return "failed" if item.lost else "waiting"
    if item.is_over:
        return item.state.status.value if item.lost is None else "failed"
    if item.state.status is ExecutionStatus.WAITING:
        if item.state.error is not None:
            return f"waiting: {item.state.error}"
        whose = (
            ""
            if item.state.organization_id == _DEFAULT_ORGANIZATION
            else f" --organization {item.state.organization_id}"
        )
        return f"waiting for review: knowledge signal {item.state.id} approve|reject{whose}"
    if item.state.status is ExecutionStatus.PAUSED or item.state.stage is None:
        return item.state.status.value
    return item.state.stage.value


class _BarDisplay:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bars: dict[int, TaskID] = {}

    def show(self, watched: Sequence[Watched]) -> None:
        for n, item in enumerate(watched):
            if n not in self._bars:
                name = escape(item.submitted.path.name[:40])
                self._bars[n] = self._progress.add_task(name, total=1.0, stage="waiting")
            self._progress.update(self._bars[n], completed=item.fraction, stage=stage_of(item))


class _LineDisplay:
    def __init__(self) -> None:
        self._last: dict[int, str] = {}

    def show(self, watched: Sequence[Watched]) -> None:
        for n, item in enumerate(watched):
            stage = stage_of(item)
            if self._last.get(n) != stage:
                self._last[n] = stage
                print(f"{item.submitted.path.name}: {stage} ({item.fraction:.0%})", file=sys.stderr, flush=True)


def print_report(report: RunReport) -> None:
    """The table of graphs, some facts, and where everything lies."""
    console = Console()
    console.print(_table(report.delivered))
    for item in report.delivered:
        if item.error is not None:
            console.print(f"[red]{escape(str(item.watched.submitted.path))}: {escape(item.error)}")
    exports = [item.export for item in report.delivered if item.export is not None]
    for line in _facts(exports):
        console.print(line, highlight=False)
    for item in report.delivered:
        for kind in ("jsonl", "ttl"):
            if kind in item.files:
                console.print(f"{kind:6}{item.files[kind]}", highlight=False, soft_wrap=True, markup=False)
    for page in dict.fromkeys(item.files["report"] for item in report.delivered if "report" in item.files):
        console.print(f"report {page}", highlight=False, soft_wrap=True, markup=False)
    if report.ui_url is not None:
        for item in report.delivered:
            url = f"{report.ui_url}/runs/flow-run/{item.watched.submitted.flow_run_id}"
            console.print(f"run   {url}", highlight=False, soft_wrap=True, markup=False)
    elif exports:
        console.print("The stack is stopped; `knowledge up` shows these runs in Prefect's UI.", highlight=False)


def _table(delivered: Sequence[Delivered]) -> Table:
    """Fits 80 columns with ordinary names; `asked` and `stored` are model calls and answers read instead."""
    table = Table(box=None, header_style="bold", padding=(0, 1))
    table.add_column("document", overflow="fold")
    table.add_column("status", no_wrap=True)
    for name in ("chunks", "entities", "relations", "asked", "stored", "seconds"):
        table.add_column(name, justify="right", no_wrap=True)
    for item in delivered:
        state = item.watched.state
        row = [item.watched.submitted.path.name, item.status]
        if state is not None:
            found = state.statistics
            numbers = (found.chunks, found.entities, found.relations, found.model_calls, found.cached_calls)
            row += [*map(str, numbers), f"{found.seconds:.1f}"]
        table.add_row(*(escape(cell) for cell in row))
    return table


def _facts(exports: Sequence[GraphExport]) -> list[str]:
    """Some facts, those of the best connected entities first, each with the predicate's name."""
    lines: list[str] = []
    for export in exports:
        graph = export.graph
        names = {entity.id: entity.label for entity in graph.entities}
        degree = Counter(relation.subject_id for relation in graph.relations)
        best = sorted(graph.relations, key=lambda r: (-r.confidence, -degree[r.subject_id], r.id))
        for relation in best[: max(1, _SHOWN_FACTS // len(exports))]:
            predicate = export.ontology.get_property(relation.predicate)
            target = relation.literal.surface if relation.literal else names[relation.object_id or relation.subject_id]
            said = f"{names[relation.subject_id]} — {predicate.name if predicate else relation.predicate} → {target}"
            lines.append(f"  {escape(said)}")
    return ["", "[bold]some facts[/bold]", *lines, ""] if lines else []
