"""What people see of a batch that goes on: one bar, or a line whenever its numbers change."""

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deployments.batching import BatchReport

Show = Callable[[BatchReport], None]


@contextmanager
def batch_display() -> Generator[Show]:
    """Shows the reports it is given, on stderr."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield _LineDisplay().show
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("batch", total=None)

        def show(report: BatchReport) -> None:
            total = report.counts.total or None
            progress.update(bar, description=report.batch.name, total=total, completed=report.counts.ended)

        yield show


class _LineDisplay:
    def __init__(self) -> None:
        self._last = ""

    def show(self, report: BatchReport) -> None:
        line = report.line()
        if line != self._last:
            self._last = line
            print(line, file=sys.stderr, flush=True)
