"""The drills of failing endpoints in their short forms, on one stack with two workers, on every change."""

import sys
from collections.abc import Generator

import pytest

from tests.drills import measures
from tests.drills.disturbed_fleet import DisturbedFleetPlan, run_disturbed_fleet
from tests.drills.faults import FaultKind
from tests.drills.fleet import Fleet, FleetPlan
from tests.drills.large_batch import LargeBatchPlan, run_large_batch
from tests.drills.nonsense import NonsensePlan, run_nonsense
from tests.drills.outage import OPEN_SECONDS_VARIABLE, OutagePlan, run_outage
from tests.drills.throttle import ThrottlePlan, run_throttle

pytestmark = pytest.mark.stack

_OPEN_SECONDS = 3.0


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Generator[Fleet]:
    """Two workers with a document each, whose circuit tries a dead endpoint every three seconds."""
    variables = {OPEN_SECONDS_VARIABLE: f"{_OPEN_SECONDS:g}"}
    plan = FleetPlan(workers=2, documents=2, chunks=20, latency_seconds=0.5, variables=variables)
    with Fleet.started(plan, tmp_path_factory.mktemp("faults") / "calls.jsonl", _tell) as fleet:
        yield fleet


def test_an_outage_costs_a_handful_of_calls_and_nothing_else(fleet: Fleet) -> None:
    """Whoever waits for a dead endpoint uses up neither its attempts nor the endpoint's patience."""
    plan = OutagePlan(FaultKind.UNAVAILABLE, seconds=4.0, seed=1, open_seconds=_OPEN_SECONDS)
    report = run_outage(plan, fleet, _tell)
    assert report.is_met, str(report)


def test_an_endpoint_that_asks_for_a_pause_is_left_alone_by_all_workers(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also by those that were not told themselves, and every document is read to its end."""
    # How quickly the news spreads is the drill's to measure, on a quiet machine; here it counts that it does.
    monkeypatch.setattr(measures, "ALLOWED_SECONDS", 1.0)
    report = run_throttle(ThrottlePlan(share=0.1, retry_after_seconds=2.0, seed=1), fleet, _tell)
    assert report.is_met, str(report)


def test_nonsense_is_asked_again_and_leaves_nothing_in_the_graph(fleet: Fleet) -> None:
    """Whatever a model or a proxy says instead of an answer, it ends no run and adds no fact."""
    report = run_nonsense(NonsensePlan(share=0.2, seed=1), fleet, _tell)
    assert report.is_met, str(report)


def test_a_lost_worker_an_outage_and_a_killed_server_lose_nothing_and_pay_nothing_twice(fleet: Fleet) -> None:
    """One after the other while the documents are read. One worker is gone after it."""
    report = run_disturbed_fleet(DisturbedFleetPlan(outage_seconds=2.0), fleet, _tell)
    assert report.is_met, str(report)


def test_a_batch_whose_worker_is_lost_loses_no_document(fleet: Fleet) -> None:
    """The batch's own run is lost with the others; begun again afterwards, it costs nothing."""
    report = run_large_batch(LargeBatchPlan(documents=6), fleet.stack, fleet.log, _tell)
    assert report.is_met, str(report)
