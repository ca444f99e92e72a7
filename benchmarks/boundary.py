"""What the model boundary itself costs: CPU time per call, over that of the same calls without it.

    python benchmarks/boundary.py [--json] [--calls 20000] [--rounds 5]

The question is a coroutine that answers after one turn of the event loop, so that calls overlap and all else is the
boundary's. Callers are one, who never waits, or 20 for 5 permits, as within a flow process; permits are this process's
own, or leased from a service that answers at once. CPU time is that of the process, in all its threads; of several
rounds the median counts. The goal is less than 1 ms a call.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median

from knowledge.models.boundary import EndpointGuard, ModelBoundary
from resilience.gate import EndpointGate
from resilience.leases import LeasedPermits
from resilience.limiter import RequestRate
from resilience.permits import InProcessPermits, Permits

PERMITS = 5
GOAL_MS = 1.0
CASES = [(callers, is_leased) for is_leased in (False, True) for callers in (1, 20)]
Ask = Callable[[], Awaitable[str]]


class _Leases:
    """Slots for whoever asks, at once."""

    async def acquire(self) -> str:
        return "lease"

    async def renew(self, lease_id: str) -> None:
        return

    async def release(self, lease_id: str) -> None:
        return


@asynccontextmanager
async def _permits(is_leased: bool) -> AsyncGenerator[Permits]:
    if not is_leased:
        yield InProcessPermits(PERMITS)
        return
    async with LeasedPermits(_Leases(), PERMITS) as permits:
        yield permits


@asynccontextmanager
async def _boundary(is_leased: bool) -> AsyncGenerator[Callable[[Ask], Awaitable[str]]]:
    """The boundary as the composition root builds it, without a limit on the request rate."""
    async with _permits(is_leased) as permits:
        yield ModelBoundary("benchmark", EndpointGuard(permits, RequestRate(), EndpointGate())).call


async def _answer() -> str:
    await asyncio.sleep(0)
    return "answer"


async def _cpu_seconds(callers: int, calls: int, call: Callable[[Ask], Awaitable[str]]) -> float:
    left = iter(range(calls))

    async def caller() -> None:
        for _ in left:
            await call(_answer)

    began = time.process_time()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return time.process_time() - began


async def _plainly(ask: Ask) -> str:
    return await ask()


@dataclass(frozen=True, slots=True)
class _Cost:
    """CPU ms a call, with the boundary and without it."""

    with_boundary: float
    without: float

    @property
    def of_boundary(self) -> float:
        return self.with_boundary - self.without


async def _round(callers: int, is_leased: bool, calls: int) -> _Cost:
    without = await _cpu_seconds(callers, calls, _plainly)
    async with _boundary(is_leased) as call:
        guarded = await _cpu_seconds(callers, calls, call)
    return _Cost(1000 * guarded / calls, 1000 * without / calls)


def _row(callers: int, is_leased: bool, calls: int, rounds: int) -> dict[str, object]:
    asyncio.run(_round(callers, is_leased, calls // 10))
    costs = [asyncio.run(_round(callers, is_leased, calls)) for _ in range(rounds)]
    return {
        "permits": "leased" if is_leased else "in process",
        "callers": callers,
        "calls": calls,
        "cpu_ms_per_call": round(median(cost.of_boundary for cost in costs), 4),
        "cpu_ms_with": round(median(cost.with_boundary for cost in costs), 4),
        "cpu_ms_without": round(median(cost.without for cost in costs), 4),
        "ratio": round(median(cost.with_boundary / cost.without for cost in costs), 1),
    }


def main() -> int:
    """Measure all cases; 1 if one misses the goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--calls", type=int, default=20_000, help="of each round")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    rows = [_row(*case, arguments.calls, arguments.rounds) for case in CASES]
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()), file=sys.stderr)
    worst = max(float(str(row["cpu_ms_per_call"])) for row in rows)
    if arguments.json:
        print(json.dumps({"cpu_ms_per_call": worst, "goal_ms": GOAL_MS, "rows": rows}))
    return 0 if worst < GOAL_MS else 1


if __name__ == "__main__":
    sys.exit(main())
