"""How soon who follows an execution hears of it, and whether they hear of everything, once.

    python benchmarks/progress.py [--json] [--seconds 15] [--rate 1000] [--followers 20] [--reconnects 50]

It starts a PostgreSQL and a `knowledge serve` of its own. First an execution progresses at the given rate, written as
a flow process writes it, in batches of a tenth of a second, and that many follow it: once through a ProgressListener,
once over HTTP. An event's age, when it is received, counts from the moment it happened, so waiting for the batch is in
it. Then others are followed in both ways while connections are broken: those of followers over HTTP, those to
PostgreSQL that listeners hear from, those that readers and the writer use, and subscriptions in this process. What was
written and not received counts as lost, what was received again as doubled, for every follower.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import quantiles

from gold_graphs import scratch_server
from progress_followers import Follower, Record, StreamFollower, WebFollower

from knowledge.domain import ExecutionStatistics, ExecutionStatus, ExtractionProgress, Stage
from knowledge.errors import StoreUnavailable
from knowledge.ids import ExecutionId, FlowRunId, OrganizationId, ProgressEventId
from knowledge.progress import ProgressStep
from tables.ledger import Ledger
from tables.progress_stream import ProgressListener
from tables.schema import upgrade
from tables.session import Database, create_database
from tables.tokens import AccessTokens

GOAL_MS = 200.0
ORGANIZATION = OrganizationId("benchmark")
_BATCH_SECONDS = 0.1
_BREAK_RATE = 200
_TERMINATE = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = %s"
_APPLICATIONS = {"listener": "knowledge progress", "reader": "knowledge"}
_KINDS = ("http", "subscription", "listener", "reader")


@dataclass(frozen=True, slots=True)
class Bench:
    """What everything runs on."""

    database: Database
    url: str
    token: str

    @property
    def ledger(self) -> Ledger:
        """The executions."""
        return Ledger(self.database, ORGANIZATION)

    def begin(self) -> ExecutionId:
        """An execution that is running."""
        run = FlowRunId(str(uuid.uuid4()))
        return self.ledger.open_execution(run, document_name="d", parameters={}, pid=0, host="benchmark").id

    def terminate(self, application: str) -> None:
        """Has PostgreSQL end all connections of this name."""
        with closing(self.database.dedicated_connection("benchmark")) as connection:
            connection.execute(_TERMINATE, (application,))


@contextmanager
def bench() -> Generator[Bench]:
    """A PostgreSQL, and a window on a free port."""
    with scratch_server() as server:
        url = server.get_uri()
        upgrade(url)
        database = create_database(url)
        _, token = AccessTokens(database, ORGANIZATION).create("benchmark", "benchmark", None)
        with tempfile.TemporaryDirectory() as home, _window(url, home) as window:
            yield Bench(database, window, token)
        database.close()


@contextmanager
def _window(database_url: str, home: str) -> Generator[str]:
    environment = {**os.environ, "KNOWLEDGE_DATABASE_URL": database_url, "KNOWLEDGE_HOME": home}
    command = [str(Path(sys.executable).parent / "knowledge"), "serve", "--port", "0"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait(timeout=20)


class Writer:
    """Writes steps as they happen, evenly, in batches; what a broken connection leaves open it writes again."""

    def __init__(self, bench: Bench, execution_id: ExecutionId, rate: int) -> None:
        self._ledger = bench.ledger
        self._execution_id = execution_id
        self._rate = rate
        self.written = 0
        self.batches = 0
        self.cpu_seconds = 0.0
        self.seconds = 0.0

    async def write(self, is_enough: Callable[[], bool]) -> None:
        """Steps until it is enough, and then the end of the execution."""
        began, waiting = time.time(), list[ProgressStep]()
        while not is_enough() or waiting:
            await asyncio.sleep(_BATCH_SECONDS)
            if not is_enough():
                waiting += self._steps_until(began, time.time())
            try:
                await asyncio.to_thread(self._write, waiting)
                waiting = []
            except StoreUnavailable:
                waiting = [replace(step, is_uncertain=True) for step in waiting]
        done = ExecutionStatistics(model_calls=self.written)
        await _again(lambda: self._ledger.close_execution(self._execution_id, ExecutionStatus.COMPLETED, None, done))

    def _write(self, steps: Sequence[ProgressStep]) -> None:
        began = time.thread_time()
        self._ledger.record_activities([], steps)
        self.cpu_seconds += time.thread_time() - began
        self.batches += 1

    def _steps_until(self, began: float, now: float) -> list[ProgressStep]:
        """Those that have happened since the last time, each with its own moment."""
        self.seconds = now - began
        numbers = range(self.written + 1, int(self.seconds * self._rate) + 1)
        self.written = max(self.written, numbers.stop - 1)
        return [self._step(n, began + n / self._rate) for n in numbers]

    def _step(self, n: int, moment: float) -> ProgressStep:
        progress = ExtractionProgress(Stage.MENTIONS, n, 1_000_000)
        at = datetime.fromtimestamp(moment, UTC)
        return ProgressStep(ProgressEventId.new(), self._execution_id, progress, progress.fraction, n, 0, at)


async def _again(write: Callable[[], object]) -> None:
    while True:
        try:
            await asyncio.to_thread(write)
        except StoreUnavailable:
            await asyncio.sleep(_BATCH_SECONDS)
        else:
            return


async def _followed(followers: Sequence[Follower], writing: Awaitable[object]) -> None:
    following = [asyncio.create_task(follower.follow()) for follower in followers]
    await writing
    await asyncio.wait_for(asyncio.gather(*following), timeout=60)


async def delivery(bench: Bench, arguments: argparse.Namespace, *, over_http: bool) -> dict[str, float]:
    """How old events are when they are received, and how many a second there were."""
    execution_id = bench.begin()
    writer = Writer(bench, execution_id, arguments.rate)
    async with ProgressListener(bench.database) as listener:
        followers: list[Follower] = [
            WebFollower(bench.url, bench.token, execution_id)
            if over_http
            else StreamFollower(listener, ORGANIZATION, execution_id)
            for _ in range(arguments.followers)
        ]
        end = time.monotonic() + arguments.seconds
        await _followed(followers, writer.write(lambda: time.monotonic() > end))
    ages = [got.age_ms for follower in followers for got in follower.record.received if got.current is not None]
    marks = quantiles(ages, n=100)
    return {
        "p50_ms": round(marks[49], 1),
        "p95_ms": round(marks[94], 1),
        "p99_ms": round(marks[98], 1),
        "events_per_second": round(writer.written / writer.seconds, 1),
        "cpu_ms_per_batch": round(1000 * writer.cpu_seconds / max(1, writer.batches), 2),
        **_missed([follower.record for follower in followers], writer.written),
    }


async def reconnects(bench: Bench, arguments: argparse.Namespace) -> dict[str, object]:
    """What is lost and doubled over so many forced reconnects."""
    execution_id = bench.begin()
    broken: Counter[str] = Counter()
    writer = Writer(bench, execution_id, _BREAK_RATE)
    async with ProgressListener(bench.database) as listener:
        streams = [StreamFollower(listener, ORGANIZATION, execution_id) for _ in range(arguments.followers // 2)]
        webs = [WebFollower(bench.url, bench.token, execution_id) for _ in range(arguments.followers // 2)]

        async def break_off() -> None:
            while broken.total() < arguments.reconnects:
                kind = _KINDS[broken.total() % len(_KINDS)]
                await asyncio.sleep(_BATCH_SECONDS * 3)
                for follower in {"http": webs, "subscription": streams}.get(kind, []):
                    await follower.break_off()
                if kind in _APPLICATIONS:
                    await asyncio.to_thread(bench.terminate, _APPLICATIONS[kind])
                broken[kind] += 1

        breaking = asyncio.create_task(break_off())
        await _followed([*streams, *webs], writer.write(breaking.done))
        breaking.result()
    records = [follower.record for follower in (*streams, *webs)]
    return {
        **_missed(records, writer.written),
        "reconnects": broken.total(),
        "kinds": dict(broken),
        "connections": sum(record.connections for record in records),
        "events": writer.written,
        "followers": len(records),
    }


def _missed(records: Sequence[Record], written: int) -> dict[str, int]:
    """What was written and not received, and received more often than once, over all followers."""
    lost = doubled = 0
    for record in records:
        steps = Counter(got.current for got in record.received if got.current is not None)
        numbers = Counter(got.number for got in record.received)
        lost += written - len(steps)
        doubled += (steps.total() - len(steps)) + (numbers.total() - len(numbers))
    return {"lost": lost, "doubled": doubled}


async def measure(arguments: argparse.Namespace) -> dict[str, object]:
    """All of it."""
    with bench() as on:
        here = await delivery(on, arguments, over_http=False)
        print("in this process:", here, file=sys.stderr)
        web = await delivery(on, arguments, over_http=True)
        print("over HTTP:", web, file=sys.stderr)
        broken = await reconnects(on, arguments)
        print("over reconnects:", broken, file=sys.stderr)
    return {
        "lost": here["lost"] + web["lost"] + int(str(broken["lost"])),
        "doubled": here["doubled"] + web["doubled"] + int(str(broken["doubled"])),
        "p95_ms": here["p95_ms"],
        "events_per_second": here["events_per_second"],
        "goal_ms": GOAL_MS,
        "subscribers": arguments.followers,
        "http_p95_ms": web["p95_ms"],
        "here": here,
        "http": web,
        "broken": broken,
    }


def main() -> int:
    """Measure; 1 if a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--seconds", type=float, default=15.0, help="how long events come, each time")
    parser.add_argument("--rate", type=int, default=1000, help="events a second")
    parser.add_argument("--followers", type=int, default=20)
    parser.add_argument("--reconnects", type=int, default=50)
    arguments = parser.parse_args()
    found = asyncio.run(measure(arguments))
    if arguments.json:
        print(json.dumps(found))
    is_met = not found["lost"] and not found["doubled"] and float(str(found["p95_ms"])) < GOAL_MS
    return 0 if is_met else 1


if __name__ == "__main__":
    sys.exit(main())
