"""How well the permits of the global concurrency limit are used, and whether the limit holds over processes.

    python benchmarks/permits.py [--json] [--seconds 8]

Starts a stack of its own. For each number of processes and length of call, every process has 20 callers who hold a
permit for that long, over and over. Utilisation is the ideal wall time (all permits busy all the time) over the real
one, from the first call to the last; the peak is that of calls in flight over all processes.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from deployments.stack import start_in_background, stop_stack
from knowledge.settings import Settings

PERMITS = 5
CALLERS = 20
CASES = [(processes, calls_ms) for calls_ms in (50, 200) for processes in (1, 3)]
Interval = tuple[float, float]


async def _work(calls: int, calls_seconds: float) -> list[Interval]:
    """Makes `calls` calls with 20 callers; when each began and ended (epoch seconds)."""
    from tasks.permits import open_permits

    left, done = iter(range(calls)), list[Interval]()

    async with open_permits() as permits:
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)

        async def caller() -> None:
            for _ in left:
                async with permits.permit():
                    began = time.time()
                    await asyncio.sleep(calls_seconds)
                    done.append((began, time.time()))

        await asyncio.gather(*(caller() for _ in range(CALLERS)))
    return done


def _measure(api_url: str, processes: int, calls_ms: int, seconds: float) -> dict[str, float]:
    calls = max(CALLERS, round(seconds * PERMITS * 1000 / calls_ms / processes))
    command = [sys.executable, __file__, "--calls", str(calls), "--calls-ms", str(calls_ms)]
    environment = {**os.environ, "PREFECT_API_URL": api_url, "PYTHONPATH": str(Path(__file__).parents[1])}
    workers = [
        subprocess.Popen(command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    for worker in workers:
        assert worker.stdout is not None
        worker.stdout.readline()
    intervals: list[Interval] = []
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        output, _ = worker.communicate(timeout=600)
        intervals += [(began, ended) for began, ended in json.loads(output)]
    wall = max(ended for _, ended in intervals) - min(began for began, _ in intervals)
    ideal = len(intervals) * calls_ms / 1000 / PERMITS
    return {
        "processes": processes,
        "calls_ms": calls_ms,
        "calls": len(intervals),
        "utilisation": round(ideal / wall, 3),
        "peak": _peak(intervals),
    }


def _peak(intervals: list[Interval]) -> int:
    """The most intervals that overlap; one that ends when another begins does not overlap it."""
    changes = sorted([(ended, -1) for _, ended in intervals] + [(began, 1) for began, _ in intervals])
    now = peak = 0
    for _, change in changes:
        now += change
        peak = max(peak, now)
    return peak


def main() -> None:
    """Measure all cases, or be one of the processes that are measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--seconds", type=float, default=8.0, help="ideal length of each case")
    parser.add_argument("--calls", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--calls-ms", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.calls is not None:
        print(json.dumps(asyncio.run(_work(arguments.calls, arguments.calls_ms / 1000))))
        return
    with tempfile.TemporaryDirectory(prefix="kpermits-") as home:
        settings = Settings(home=Path(home) / "state")
        try:
            stack = start_in_background(settings, lambda message: print(message, file=sys.stderr))
            rows = [_measure(stack.api_url, *case, arguments.seconds) for case in CASES]
        finally:
            stop_stack(settings)
    for row in rows:
        print("  ".join(f"{name} {value:g}" for name, value in row.items()), file=sys.stderr)
    if arguments.json:
        print(json.dumps({"rows": rows}))


if __name__ == "__main__":
    main()
