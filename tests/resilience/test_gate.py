"""The gate's promises, on a clock of their own: five failures, thirty seconds, one probe."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import pytest

from resilience.board import EndpointState, Failures, Hold, News, Standing
from resilience.gate import EndpointGate, GatePolicy, PatienceExhausted, Turn
from tests.virtual_time import run_virtually

Say = Callable[[Turn], None]


def _fails(turn: Turn) -> None:
    turn.failed("503")


def _answers(turn: Turn) -> None:
    turn.answered()


def _throttles(seconds: float | None = None) -> Say:
    return lambda turn: turn.throttled("429", seconds)


async def _call(gate: EndpointGate, say: Say, *, lasting: float = 0.0) -> float:
    """A call that takes so long and comes out as `say` says; when it began."""
    async with gate.turn() as turn:
        began = asyncio.get_running_loop().time()
        turn.begin()
        await asyncio.sleep(lasting)
        say(turn)
        return began


async def _opened(policy: GatePolicy | None = None) -> EndpointGate:
    gate = EndpointGate(policy)
    for _ in range(5):
        assert gate.hold is None
        await _call(gate, _fails)
    return gate


def _virtually(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        run_virtually(test())

    run.__doc__, run.__name__ = test.__doc__, test.__name__
    return run


@_virtually
async def test_five_failures_close_the_gate_and_one_probe_goes_after_thirty_seconds() -> None:
    """However many wait; when it was answered the others go, the more the more answers there are: no storm."""
    gate = await _opened()
    assert gate.circuit == "open"
    began = await asyncio.gather(*(_call(gate, _answers, lasting=2.0) for _ in range(20)))
    assert Counter(began) == {30.0: 1, 32.0: 1, 34.0: 2, 36.0: 8, 38.0: 8}
    assert gate.circuit == "closed"


@_virtually
async def test_a_probe_that_fails_holds_everybody_for_another_thirty_seconds() -> None:
    """An hour of outage costs an endpoint 120 calls, whoever waits."""
    gate, probes = await _opened(GatePolicy(patience_seconds=1e9)), 0

    def until_the_third(turn: Turn) -> None:
        nonlocal probes
        probes += 1
        (_fails if probes < 3 else _answers)(turn)

    began = [await _call(gate, until_the_third) for _ in range(3)]
    assert began == [30.0, 60.0, 90.0]


@_virtually
async def test_a_cancelled_probe_says_nothing_and_another_goes_at_once() -> None:
    """Cancelling a run must neither close an open circuit nor keep it open for longer."""
    gate = await _opened()
    probe = asyncio.create_task(_call(gate, _answers, lasting=100.0))
    await asyncio.sleep(31)
    assert gate.circuit == "half-open"
    waiting = asyncio.create_task(_call(gate, _answers))
    await asyncio.sleep(1)
    probe.cancel()
    with suppress(asyncio.CancelledError):
        await probe
    assert await waiting == 32.0


@_virtually
async def test_failures_of_calls_from_before_the_trip_do_not_lengthen_the_outage() -> None:
    """They say what is known already."""
    gate = EndpointGate()
    late = asyncio.create_task(_call(gate, _fails, lasting=20.0))
    await asyncio.sleep(0)
    for _ in range(5):
        await _call(gate, _fails)
    await late
    assert await _call(gate, _answers) == 30.0


@_virtually
async def test_refusals_neither_open_nor_keep_the_gate_closed() -> None:
    """A request of ours that is wrong, or an answer that makes no sense, does not mean that nobody is there."""
    gate = EndpointGate()
    for _ in range(20):
        await _call(gate, lambda turn: turn.refused())
    assert gate.hold is None
    gate = await _opened()
    await _call(gate, lambda turn: turn.refused())
    assert gate.hold is None


@_virtually
async def test_throttled_callers_all_wait_for_as_long_as_the_endpoint_said() -> None:
    """Retry-After speaks to the client, not to the one call that happened to be refused."""
    gate = EndpointGate()
    await _call(gate, _throttles(7.0))
    assert gate.circuit == "closed"
    began = await asyncio.gather(*(_call(gate, _answers) for _ in range(5)))
    assert set(began) == {7.0}


@_virtually
async def test_an_endpoint_that_throttles_everything_is_asked_less_and_less() -> None:
    """Its word that two seconds are enough has proved wrong."""
    gate = EndpointGate()
    began = [await _call(gate, _throttles(2.0)) for _ in range(8)]
    assert began == [0.0, 2.0, 6.0, 14.0, 30.0, 60.0, 90.0, 120.0]


@_virtually
async def test_several_refusals_at_once_make_one_pause() -> None:
    """The longest counts."""
    gate = EndpointGate()
    await asyncio.gather(*(_call(gate, _throttles(seconds), lasting=1.0) for seconds in (1.0, 5.0, 3.0)))
    assert await _call(gate, _answers) == 6.0


@_virtually
async def test_patience_ends_when_the_outage_has_lasted_for_so_long() -> None:
    """Counted from the beginning of the outage: who comes later does not wait for as long again."""
    gate = await _opened(GatePolicy(patience_seconds=40.0))
    await _call(gate, _fails)
    with pytest.raises(PatienceExhausted) as caught:
        await _call(gate, _answers)
    assert caught.value.hold.state is EndpointState.OPEN
    assert caught.value.hold.probe_in_seconds == 30.0


@_virtually
async def test_a_caller_who_comes_when_the_probe_is_due_makes_it_however_long_the_outage() -> None:
    """A run that is woken to see whether the endpoint answers must be able to see it."""
    gate = await _opened(GatePolicy(patience_seconds=40.0))
    await asyncio.sleep(1000.0)
    assert await _call(gate, _answers) == 1000.0
    assert gate.hold is None


class _Board:
    """A board whose other processes are the test."""

    def __init__(self, *, grants: bool = True) -> None:
        self.posted: list[object] = []
        self.grants = grants
        self.hear: Callable[[News], None] = lambda news: None

    def subscribe(self, hear: Callable[[News], None]) -> None:
        self.hear = hear

    def post_hold(self, hold: Hold) -> None:
        self.posted.append(hold.state)

    def post_release(self) -> None:
        self.posted.append("release")

    def post_failures(self, count: int) -> None:
        self.posted.append(count)

    def return_probe(self) -> None:
        self.posted.append("return")

    async def claim_probe(self) -> bool:
        return self.grants


@_virtually
async def test_what_others_find_out_closes_and_opens_the_gate_here() -> None:
    """An outage is paid for once, not once for each process."""
    board = _Board(grants=False)
    gate = EndpointGate(board=board)
    board.hear(Standing(1, Hold(EndpointState.OPEN, 30.0, 0.0, "503")))
    waiting = [asyncio.create_task(_call(gate, _answers)) for _ in range(3)]
    await asyncio.sleep(45.0)
    board.hear(Standing(2, None))
    assert await asyncio.gather(*waiting) == [45.0] * 3
    assert board.posted == []


@_virtually
async def test_news_that_come_late_change_nothing() -> None:
    """Notifications and readings of the row overtake each other."""
    board = _Board()
    gate = EndpointGate(board=board)
    board.hear(Standing(5, None))
    board.hear(Standing(4, Hold(EndpointState.OPEN, 30.0, 0.0, "503")))
    assert gate.hold is None


@_virtually
async def test_failures_in_several_processes_add_up() -> None:
    """Three workers would otherwise need five each to believe it."""
    board = _Board()
    gate = EndpointGate(board=board)
    board.hear(Failures("b", 2))
    await _call(gate, _fails)
    assert gate.hold is None, "one of our own is an accident"
    board.hear(Failures("b", 3))
    await _call(gate, _fails)
    assert gate.hold is not None
    assert board.posted == [EndpointState.OPEN]


@_virtually
async def test_failures_that_others_saw_long_ago_do_not_count() -> None:
    """They have had answers since, or no calls."""
    board = _Board()
    gate = EndpointGate(board=board)
    board.hear(Failures("b", 4))
    await asyncio.sleep(6.0)
    for _ in range(4):
        await _call(gate, _fails)
    assert gate.hold is None
    assert board.posted == [2, 3, 4]
