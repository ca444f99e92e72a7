"""What the drills' endpoint does when it is told to fail: what the drills find rests on it."""

import email.utils
import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise

import httpx
import pytest

from tests.drills.calls import CallLog
from tests.drills.endpoint import WORKER_HEADER, WORKER_VARIABLE, Endpoint, serving
from tests.drills.faults import CHAT, EMBEDDINGS, FaultKind, FaultPlan
from tests.drills.stack import wait_until
from tests.drills.workers import connection_watch

Served = tuple[Endpoint, CallLog]
_QUESTION = {"model": "scripted", "input": ["Ada"]}
_LATENCY_SECONDS = 0.05


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Generator[Served]:
    """One endpoint process for all tests, and its log."""
    log = tmp_path_factory.mktemp("endpoint") / "calls.jsonl"
    with serving(log, _LATENCY_SECONDS) as endpoint:
        yield endpoint, CallLog(log)


@pytest.fixture
def failing(served: Served) -> Generator[Served]:
    """The endpoint, which is told to stop failing after the test."""
    yield served
    served[0].end()


def _ask(endpoint: Endpoint, timeout_seconds: float = 5.0) -> httpx.Response:
    url, headers = f"{endpoint.embedding_url}/embeddings", {WORKER_HEADER: "w"}
    # Without certificates, which take a while to load.
    with httpx.Client(verify=False, trust_env=False, timeout=timeout_seconds) as client:
        return client.post(url, json=_QUESTION, headers=headers)


@pytest.mark.parametrize("kind", [FaultKind.INTERNAL_ERROR, FaultKind.UNAVAILABLE])
def test_errors_last_from_begin_to_end(failing: Served, kind: FaultKind) -> None:
    """The log says which calls were struck, and who made them."""
    endpoint, log = failing
    begun_at = endpoint.begin(FaultPlan(kind))
    assert _ask(endpoint).status_code == int(kind)
    ended_at = endpoint.end()
    assert _ask(endpoint).status_code == 200
    assert wait_until(lambda: log.read().calls[-1].answered_at is not None, 5)
    struck, sound = log.calls[-2:]
    assert (struck.fault, struck.status, struck.delivered, struck.worker) == (kind, int(kind), False, "w")
    assert begun_at <= struck.begun_at < ended_at <= sound.begun_at
    assert (sound.fault, sound.status, sound.delivered, sound.endpoint) == (None, 200, True, EMBEDDINGS)


def test_an_endpoint_that_refuses_connections_keeps_its_port_and_cuts_those_there_are(failing: Served) -> None:
    """As one whose process has died: also a kept connection is of no use, and the other endpoint goes on."""
    endpoint, _ = failing
    with socket.create_connection(("127.0.0.1", endpoint.ports[EMBEDDINGS])) as kept:
        endpoint.begin(FaultPlan(FaultKind.REFUSED, endpoints=(EMBEDDINGS,)))
        kept.settimeout(5)
        # Closed or reset, as the kernel comes to it.
        with suppress(ConnectionResetError):
            assert kept.recv(1) == b""
    with pytest.raises(httpx.ConnectError):
        _ask(endpoint)
    socket.create_connection(("127.0.0.1", endpoint.ports[CHAT])).close()
    endpoint.end()
    assert _ask(endpoint).status_code == 200


def test_attempts_to_connect_are_noted_where_they_are_made(failing: Served) -> None:
    """Nobody else can count calls that are refused: by endpoint and worker, whether refused or not."""
    endpoint, log = failing
    endpoint.begin(FaultPlan(FaultKind.REFUSED, endpoints=(CHAT,)))
    connect = (
        "import asyncio, contextlib\n"
        "async def connect(port):\n"
        "    with contextlib.suppress(OSError):\n"
        "        (await asyncio.open_connection('127.0.0.1', port))[1].close()\n"
        f"for port in {list(endpoint.ports.values())}: asyncio.run(connect(port))"
    )
    environment = {**os.environ, **connection_watch(endpoint, log.path), WORKER_VARIABLE: "w"}
    subprocess.run([sys.executable, "-c", connect], env=environment, timeout=20, check=True)
    assert [(tried.endpoint, tried.worker) for tried in log.read().connections] == [(CHAT, "w"), (EMBEDDINGS, "w")]


def test_a_hanging_endpoint_holds_also_what_it_was_asked_before(failing: Served) -> None:
    """Until the client gives up; then the call is over, and was not answered."""
    endpoint, log = failing
    with ThreadPoolExecutor() as pool:
        before = len(log.read().calls)
        asked_before = pool.submit(_ask, endpoint, 0.4)
        assert wait_until(lambda: len(log.read().calls) > before, 5, 0.002)
        endpoint.begin(FaultPlan(FaultKind.HANG))
        with pytest.raises(httpx.ReadTimeout):
            _ask(endpoint, 0.2)
        with pytest.raises(httpx.ReadTimeout):
            asked_before.result()
    assert wait_until(lambda: all(call.answered_at is not None for call in log.read().calls[before:]), 5)
    assert [call.delivered for call in log.calls[before:]] == [False, False]


def test_a_429_says_how_long_to_wait_in_seconds_or_as_a_date(failing: Served) -> None:
    """The log has the same time, and a date is never earlier than what was meant."""
    endpoint, log = failing
    endpoint.begin(FaultPlan(FaultKind.THROTTLED, retry_after_seconds=2))
    forms: set[bool] = set()
    for _ in range(12):
        asked_at = time.time()
        response = _ask(endpoint)
        value = response.headers["Retry-After"]
        is_date = not value.isdigit()
        told = email.utils.parsedate_to_datetime(value).timestamp() if is_date else asked_at + float(value)
        assert wait_until(lambda: log.read().calls[-1].answered_at is not None, 5)
        until = log.calls[-1].until
        assert until is not None
        assert until == pytest.approx(told, abs=0.5)
        assert until >= asked_at + 2
        forms.add(is_date)
    assert forms == {True, False}


def test_who_is_struck_depends_on_seed_question_and_time_only() -> None:
    """So that a drill repeats, whatever order several processes ask in."""
    plan = FaultPlan(FaultKind.THROTTLED, share=0.2, seed=3)
    struck = [plan.strikes(CHAT, f"question {n}", 1) for n in range(1000)]
    assert struck == [plan.strikes(CHAT, f"question {n}", 1) for n in range(1000)]
    assert 150 < sum(struck) < 250
    other = FaultPlan(FaultKind.THROTTLED, share=0.2, seed=4)
    assert struck != [other.strikes(CHAT, f"question {n}", 1) for n in range(1000)]
    assert struck != [plan.strikes(CHAT, f"question {n}", 2) for n in range(1000)]


def test_a_question_is_struck_no_more_often_in_a_row_than_planned() -> None:
    """Then what is asked again is answered, and everything can come to its end."""
    plan = FaultPlan(FaultKind.NONSENSE, share=0.8, most_in_a_row=1)
    struck = [[plan.strikes(CHAT, f"question {n}", time) for time in range(1, 6)] for n in range(200)]
    assert not any(first and second for times in struck for first, second in pairwise(times))
    assert sum(times[0] for times in struck) > 100
    assert not FaultPlan(FaultKind.HANG, endpoints=(EMBEDDINGS,)).strikes(CHAT, "question", 1)
