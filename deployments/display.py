"""What people see of a run: a line for each document while it goes on, a short table at the end."""

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from textwrap import wrap

from rich.console import Console, ConsoleDimensions
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from deployments.delivery import Delivered
from deployments.glance import Course, Glance, cut
from deployments.run import RunReport
from deployments.watching import Watched
from knowledge.domain import ExecutionStatus
from knowledge.exports import GraphExport
from knowledge.progress import ProgressEvent

_SHOWN_FACTS = 8
_DEFAULT_ORGANIZATION = "default"
_REFRESHES = 4  # a second
_RESERVED_ROWS = 3
_QUIET_SECONDS = 15.0
_NUMBERS = ("chunks", "entities", "relations", "asked", "stored", "seconds")
_WIDTH_OF_TABLE = 76

Show = Callable[[Sequence[Watched]], None]


@contextmanager
def progress_display() -> Generator[Show]:
    """A line for each document that stays where it is on a terminal; else, or on a dumb one, a line at each turn."""
    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield _LineDisplay().show
        return
    with Live(console=console, refresh_per_second=_REFRESHES, vertical_overflow="visible") as live:
        yield lambda watched: live.update(live_lines(watched, console.size), refresh=False)


@contextmanager
def execution_display() -> Generator[Callable[[str, Sequence[ProgressEvent]], None]]:
    """The same for one execution, as its events come; on stdout, because they are what was asked for."""
    course, console = Course(), Console()
    if not console.is_terminal or console.is_dumb_terminal:
        said: list[str] = []

        def say(name: str, events: Sequence[ProgressEvent]) -> None:
            course.take(events)
            turn = course.doing + (f": {events[-1].message}" if events[-1].message else "")
            if said[-1:] != [turn]:
                said.append(turn)
                print(course.glance(name, turn).sentence(), flush=True)

        yield say
        return
    with Live(console=console, refresh_per_second=_REFRESHES) as live:

        def show(name: str, events: Sequence[ProgressEvent]) -> None:
            course.take(events)
            lines = [course.glance(name).line(console.width - 1)]
            if course.last is not None and course.last.current is None and course.last.message:
                lines += [f"  {line}" for line in wrap(course.last.message, max(10, console.width - 3))]
            live.update(Text("\n".join(lines), no_wrap=True, overflow="crop"))

        yield show


@contextmanager
def execution_lines() -> Generator[Callable[[str, Sequence[ProgressEvent]], None]]:
    """A JSON object on stdout for each event."""

    def tell(name: str, events: Sequence[ProgressEvent]) -> None:
        for event in events:
            print(json.dumps(event.as_json(), ensure_ascii=False), flush=True)

    yield tell


def stage_of(item: Watched) -> str:
    """Where a document is, in a word."""
    if item.state is None:
        return "failed" if item.lost else "waiting"
    if item.is_over:
        return item.state.status.value if item.lost is None else "failed"
    # What has come out of the journal may be a moment behind the row.
    return item.course.doing if item.state.status is ExecutionStatus.RUNNING else item.state.status.value


def wait_of(item: Watched) -> str:
    """What a document that nothing happens to waits for, and what can be done about it; empty for others."""
    if item.state is None or item.is_over or item.state.status is not ExecutionStatus.WAITING:
        return ""
    if item.state.error is not None:
        return f"waiting: {item.state.error}"
    owner = item.state.organization_id
    whose = "" if owner == _DEFAULT_ORGANIZATION else f" --organization {owner}"
    return f"waiting for review: knowledge signal {item.state.id} approve|reject{whose}"


def glance_at(item: Watched) -> Glance:
    """The document in a line."""
    return item.course.glance(item.submitted.path.name, stage_of(item))


def live_lines(watched: Sequence[Watched], size: ConsoleDimensions) -> Text:
    """The lines that fit: those of documents at work first, and of the others at least their number."""
    room = max(1, size.height - _RESERVED_ROWS)
    shown = sorted(watched, key=lambda item: item.is_over)[:room] if len(watched) > room else watched
    lines: list[str] = []
    for item in shown:
        lines.append(glance_at(item).line(size.width - 1))
        if wait_of(item):
            lines += [f"  {line}" for line in wrap(wait_of(item), max(10, size.width - 3))]
    if len(shown) < len(watched):
        over = sum(item.is_over for item in watched)
        lines.append(cut(f"{len(watched)} documents, {over} of them over", size.width - 1).rstrip())
    return Text("\n".join(lines), no_wrap=True, overflow="crop")


class _LineDisplay:
    """Says something when there is something new: another stage, or a quarter of a minute of progress."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._last: dict[int, tuple[str, float, float]] = {}

    def show(self, watched: Sequence[Watched]) -> None:
        for n, item in enumerate(watched):
            turn = wait_of(item) or stage_of(item)
            last_turn, last_fraction, said_at = self._last.get(n, ("", 0.0, 0.0))
            has_progressed = item.course.fraction > last_fraction and self._now() - said_at >= _QUIET_SECONDS
            if turn != last_turn or has_progressed:
                self._last[n] = (turn, item.course.fraction, self._now())
                said = replace(glance_at(item), doing=turn).sentence()
                print(said, file=sys.stderr, flush=True)


def print_report(report: RunReport) -> None:
    """The table of graphs, some facts, and where everything lies."""
    console = Console()
    console.print(_table(report.delivered, console.width))
    for item in report.delivered:
        if item.error is not None:
            console.print(f"[red]{escape(str(item.watched.submitted.path))}: {escape(item.error)}")
        elif failed := item.watched.state.statistics.failed_items if item.watched.state is not None else 0:
            what = "1 question was" if failed == 1 else f"{failed} questions were"
            said = f"{what} not answered, and what they ask about is missing from the graph; the report says why"
            console.print(f"[yellow]{escape(str(item.watched.submitted.path))}: {said}")
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
        for flow_run_id in (item.watched.submitted.flow_run_id for item in report.delivered):
            if flow_run_id is not None:
                url = f"{report.ui_url}/runs/flow-run/{flow_run_id}"
                console.print(f"run   {url}", highlight=False, soft_wrap=True, markup=False)
    elif exports:
        console.print("The stack is stopped; `knowledge up` shows these runs in Prefect's UI.", highlight=False)


def _table(delivered: Sequence[Delivered], width: int) -> Table:
    """Fits 80 columns with ordinary names, and without most numbers 40.

    `asked` and `stored` are model calls and answers read instead.
    """
    table = Table(box=None, header_style="bold", padding=(0, 1))
    table.add_column("document", overflow="fold")
    table.add_column("status", no_wrap=True)
    shown = _NUMBERS if width >= _WIDTH_OF_TABLE else _NUMBERS[-1:]
    for name in shown:
        table.add_column(name, justify="right", no_wrap=True)
    for item in delivered:
        state = item.watched.state
        row = [item.watched.submitted.path.name, item.status]
        if state is not None:
            found = state.statistics
            numbers = (found.chunks, found.entities, found.relations, found.model_calls, found.cached_calls)
            row += [*map(str, numbers), f"{found.seconds:.1f}"][-len(shown) :]
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
