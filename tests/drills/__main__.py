"""Drills: disturb the system at a chosen moment and hold what comes out against an undisturbed run.

From the project's root, each command on a stack and a model endpoint of its own, which it stops again:

    python -m tests.drills kill --victim flow|worker|server|postgres|stack --moment MOMENT --runs N --seed S --json
    python -m tests.drills replay --calls 1000 --json
    python -m tests.drills outage --kind 500|503|refused|hang|429 --seconds 60 --workers 3 --documents 3 --seed S --json
    python -m tests.drills throttle --share 0.2 --retry-after 1 --workers 3 --json
    python -m tests.drills nonsense --share 0.2 --json
    python -m tests.drills fleet --workers 3 --documents 200 --json
    python -m tests.drills batch --documents 1000 --json

`kill` submits a document of many chunks, waits for the moment (a stage, or `random`: a seeded number of model calls
later), sends SIGKILL, waits for the end, and looks at the endpoint's log, the tables and Prefect. The victim `stack`
is everything at once, after which `knowledge up` is started again. Its last line is

    {"victim","moment","runs","seed","killed","paid_again","in_flight_at_kill","graphs_differ","spurious_rows",
     "not_completed","median_seconds_to_next_call","median_seconds_to_end","rows":[…]}

and it exits with 1 unless `paid_again`, `graphs_differ`, `spurious_rows` and `not_completed` are all 0. An answer
counts as paid when the process read it: one that it died without reading was in flight. A stack whose runs had flaws
leaves its home, logs and all, under /tmp. `replay` measures how long a new flow process takes to its first new call
when so many calls have been answered before.

The others give documents to several workers, which share nothing but the stack's API and database, and whose endpoints
fail: for a while and entirely (`outage`, which begins when every worker is in the middle of a document, after a seeded
number of answers), or in a share of the calls that depends on the seed, the question and how often it was asked. In
`fleet` a worker is lost with its runs after a fifth of the questions, the endpoints fail after two fifths, and the
server is killed after seven tenths. Their last line is an object of what was found, with the `goals` that were met or
not and a row for each document; they exit with 1 unless all goals were met. How it goes is told on stderr.

`batch` gives a folder of small documents to `knowledge batch`, kills the worker with all its runs, the batch's own
too, after half of the calls, and begins the same batch again when it is over. It ends like the others, without rows.
"""

import argparse
import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path

from tests.drills.calls import CallLog
from tests.drills.disturbed_fleet import DisturbedFleetPlan, run_disturbed_fleet
from tests.drills.endpoint import serving
from tests.drills.faults import ENDPOINTS, FaultKind
from tests.drills.fleet import Fleet, FleetPlan, Tell
from tests.drills.kill import KillPlan, Victim, run_kills
from tests.drills.large_batch import LargeBatchPlan, run_large_batch
from tests.drills.moments import Moment
from tests.drills.nonsense import NonsensePlan, run_nonsense
from tests.drills.outage import HANG_VARIABLES, OPEN_SECONDS_VARIABLE, OutagePlan, run_outage
from tests.drills.replay import GOAL_SECONDS, measure_replay
from tests.drills.report import FleetReport, summary_of
from tests.drills.stack import DrillStack
from tests.drills.throttle import ThrottlePlan, run_throttle

_RUNS_EACH = 4


def main() -> int:
    """Run the drill that the command line names; the exit code."""
    arguments = _parser().parse_args()
    # Told to stop, we stop what we started.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(143))
    return int(arguments.drill(arguments))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.drills", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    drills = parser.add_subparsers(required=True)
    kills = drills.add_parser("kill", help="kill a part in the middle of runs")
    kills.set_defaults(drill=_kill)
    kills.add_argument("--victim", type=Victim, choices=list(Victim), required=True)
    kills.add_argument("--moment", type=Moment, choices=list(Moment), default=Moment.RANDOM)
    kills.add_argument("--runs", type=int, default=1)
    kills.add_argument("--seed", type=int, default=1)
    kills.add_argument("--chunks", type=int, default=16, help="two model calls each")
    kills.add_argument("--latency", type=float, default=0.5, help="seconds that the endpoint takes for an answer")
    kills.add_argument("--json", action="store_true", help="end with one JSON object")
    replays = drills.add_parser("replay", help="time a flow process to its first new call")
    replays.set_defaults(drill=_replay)
    replays.add_argument("--calls", type=int, default=1000, help="model calls answered before")
    replays.add_argument("--json", action="store_true", help="end with one JSON object")
    kinds = [kind for kind in FaultKind if kind is not FaultKind.NONSENSE]
    outages = drills.add_parser("outage", help="let the endpoints fail for a while")
    outages.set_defaults(drill=_outage)
    outages.add_argument("--kind", type=FaultKind, choices=kinds, required=True)
    outages.add_argument("--seconds", type=float, default=60.0)
    outages.add_argument("--endpoint", choices=ENDPOINTS, action="append", help="which fails (both)")
    outages.add_argument("--retry-after", type=float, default=5.0, help="seconds that a 429 asks for")
    outages.add_argument("--open-seconds", type=float, default=30.0, help="until a dead endpoint is tried again")
    throttles = drills.add_parser("throttle", help="answer a share of the calls with 429")
    throttles.set_defaults(drill=_throttle)
    throttles.add_argument("--share", type=float, default=0.2)
    throttles.add_argument("--retry-after", type=float, default=1.0, help="seconds that a 429 asks for")
    nonsenses = drills.add_parser("nonsense", help="answer a share of the calls with nonsense")
    nonsenses.set_defaults(drill=_nonsense)
    nonsenses.add_argument("--share", type=float, default=0.2)
    nonsenses.add_argument("--in-a-row", type=int, default=1, help="most times for one question; 0: any number")
    for disturbed in (outages, throttles, nonsenses):
        disturbed.add_argument("--workers", type=int, default=1)
        disturbed.add_argument("--documents", type=int, help="as many as workers, if not said")
        disturbed.add_argument("--chunks", type=int, default=32, help="of each document, two model calls each")
        disturbed.add_argument(
            "--latency", type=float, default=1.0, help="seconds that the endpoint takes for an answer"
        )
        disturbed.add_argument("--seed", type=int, default=1)
        disturbed.add_argument("--json", action="store_true", help="end with one JSON object")
    fleets = drills.add_parser("fleet", help="kill a worker, fail, and kill the server, while many documents are read")
    fleets.set_defaults(drill=_fleet)
    fleets.add_argument("--workers", type=int, default=3)
    fleets.add_argument("--documents", type=int, default=200)
    fleets.add_argument("--chunks", type=int, default=4, help="of each document, two model calls each")
    fleets.add_argument("--latency", type=float, default=0.2, help="seconds that the endpoint takes for an answer")
    fleets.add_argument("--seconds", type=float, default=20.0, help="how long the endpoints fail")
    fleets.add_argument("--json", action="store_true", help="end with one JSON object")
    batches = drills.add_parser("batch", help="lose the worker in the middle of a folder of many documents")
    batches.set_defaults(drill=_batch)
    batches.add_argument("--documents", type=int, default=1000, help="of three paragraphs, one chunk, each")
    batches.add_argument("--latency", type=float, default=0.2, help="seconds that the endpoint takes for an answer")
    batches.add_argument("--json", action="store_true", help="end with one JSON object")
    return parser


def _fleet(arguments: argparse.Namespace) -> int:
    plan = DisturbedFleetPlan(outage_seconds=arguments.seconds)
    return _with_fleet(arguments, lambda fleet, tell: run_disturbed_fleet(plan, fleet, tell), runs_each=_RUNS_EACH)


def _batch(arguments: argparse.Namespace) -> int:
    tell = _teller()
    with tempfile.TemporaryDirectory(prefix="kdrill-calls-", dir="/tmp") as directory:
        log_file = Path(directory) / "calls.jsonl"
        with serving(log_file, arguments.latency) as endpoint, DrillStack.started(endpoint) as stack:
            report = run_large_batch(LargeBatchPlan(arguments.documents), stack, CallLog(log_file), tell)
            stack.is_kept |= not report.is_met
    tell(str(report))
    if arguments.json:
        print(json.dumps(report.as_json))
    return 0 if report.is_met else 1


def _outage(arguments: argparse.Namespace) -> int:
    plan = OutagePlan(
        arguments.kind,
        arguments.seconds,
        arguments.seed,
        tuple(arguments.endpoint or ENDPOINTS),
        arguments.retry_after,
        open_seconds=arguments.open_seconds,
    )
    variables = {OPEN_SECONDS_VARIABLE: f"{plan.open_seconds:g}"}
    if plan.kind is FaultKind.HANG:
        variables |= HANG_VARIABLES
    return _with_fleet(arguments, lambda fleet, tell: run_outage(plan, fleet, tell), variables)


def _throttle(arguments: argparse.Namespace) -> int:
    plan = ThrottlePlan(arguments.share, arguments.retry_after, arguments.seed)
    return _with_fleet(arguments, lambda fleet, tell: run_throttle(plan, fleet, tell))


def _nonsense(arguments: argparse.Namespace) -> int:
    plan = NonsensePlan(arguments.share, arguments.in_a_row, arguments.seed)
    return _with_fleet(arguments, lambda fleet, tell: run_nonsense(plan, fleet, tell))


def _with_fleet(
    arguments: argparse.Namespace,
    drill: Callable[[Fleet, Tell], FleetReport],
    variables: Mapping[str, str] | None = None,
    runs_each: int | None = None,
) -> int:
    plan = FleetPlan(
        arguments.workers,
        arguments.documents or arguments.workers,
        arguments.chunks,
        arguments.latency,
        variables=variables or {},
        runs_each=runs_each,
        watches_connections=arguments.drill is _outage and arguments.kind is FaultKind.REFUSED,
    )
    tell = _teller()
    with (
        tempfile.TemporaryDirectory(prefix="kdrill-calls-", dir="/tmp") as directory,
        Fleet.started(plan, Path(directory) / "calls.jsonl", tell) as fleet,
    ):
        report = drill(fleet, tell)
        fleet.stack.is_kept |= not report.is_met
    tell(str(report))
    if arguments.json:
        print(json.dumps(report.as_json))
    return 0 if report.is_met else 1


def _replay(arguments: argparse.Namespace) -> int:
    with tempfile.TemporaryDirectory(prefix="kdrill-calls-", dir="/tmp") as directory:
        replay = measure_replay(arguments.calls, Path(directory) / "calls.jsonl", _teller())
    found = {
        **asdict(replay),
        "milliseconds_per_answered_call": replay.milliseconds_per_answered_call,
        "goal_seconds": GOAL_SECONDS,
    }
    print(json.dumps(found) if arguments.json else "\n".join(f"{name:34}{value:>10}" for name, value in found.items()))
    return 0 if replay.seconds_to_first_new_call <= GOAL_SECONDS and not replay.paid_again else 1


def _kill(arguments: argparse.Namespace) -> int:
    plan = KillPlan(
        arguments.victim, arguments.moment, arguments.runs, arguments.seed, arguments.chunks, arguments.latency
    )
    with tempfile.TemporaryDirectory(prefix="kdrill-calls-", dir="/tmp") as directory:
        rows = list(run_kills(plan, Path(directory) / "calls.jsonl", _teller()))
    if arguments.json:
        print(json.dumps(summary_of(plan.victim, plan.moment, plan.seed, rows)))
    return 0 if all(row.is_flawless for row in rows) else 1


def _teller() -> Callable[[str], None]:
    """Tells a person on stderr how it goes, with the seconds since now."""
    started = time.monotonic()
    return lambda line: print(f"{time.monotonic() - started:7.1f} s  {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
