"""The boundary's promises: bounded, paced, within budget, patient with an endpoint that is down or throttling."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from knowledge.errors import (
    ModelHeldBack,
    ModelReplyUnreadable,
    ModelRequestRefused,
    ModelThrottled,
    ModelUnavailable,
    SpendCeilingReached,
)
from knowledge.models.boundary import EndpointGuard, ModelBoundary
from knowledge.models.openai import ChatClient, OpenAIEmbeddingModel
from knowledge.settings import EndpointSettings
from resilience.gate import EndpointGate, GatePolicy
from resilience.leases import PermitLostError
from resilience.limiter import RequestRate
from resilience.permits import InProcessPermits
from resilience.spending import SpendMeter, Spent
from tests.boundaries import boundary
from tests.sample import knowing_model
from tests.scripted_endpoint import scripted
from tests.virtual_time import run_virtually

PATIENT = GatePolicy()


class Endpoint:
    """Comes out as its script says, one entry a call, and then answers; notes when it was called."""

    def __init__(self, *script: Exception | float) -> None:
        self._script = list(script)
        self.calls: list[float] = []

    async def ask(self) -> str:
        self.calls.append(asyncio.get_running_loop().time())
        said = self._script.pop(0) if self._script else 0.0
        if isinstance(said, Exception):
            raise said
        await asyncio.sleep(said)
        return "answer"


def _down() -> ModelUnavailable:
    return ModelUnavailable("scripted endpoint", "failed (503)")


def _throttling(seconds: float) -> ModelThrottled:
    return ModelThrottled("scripted endpoint", "is throttling us (429)", retry_after_seconds=seconds)


def _virtually(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    def run() -> None:
        run_virtually(test())

    run.__doc__, run.__name__ = test.__doc__, test.__name__
    return run


async def _failures(model: ModelBoundary, endpoint: Endpoint, times: int) -> None:
    for _ in range(times):
        with pytest.raises(ModelUnavailable):
            await model.call(endpoint.ask)


@_virtually
async def test_failures_are_the_callers_to_count_until_the_circuit_opens() -> None:
    """The fifth call opens it, waits, and is made again: it uses up no attempt."""
    model, endpoint = boundary(policy=PATIENT), Endpoint(*[_down() for _ in range(6)])
    await _failures(model, endpoint, 4)
    assert await model.call(endpoint.ask) == "answer"
    assert endpoint.calls == [0.0, 0.0, 0.0, 0.0, 0.0, 30.0, 60.0]


@_virtually
async def test_callers_of_an_endpoint_that_is_down_hold_no_permits() -> None:
    """A permit may be one of five for the whole system."""
    permits, endpoint = InProcessPermits(2), Endpoint(*[_down() for _ in range(5)])
    model = boundary(permits, policy=PATIENT)
    await _failures(model, endpoint, 4)
    waiting = [asyncio.create_task(model.call(endpoint.ask)) for _ in range(10)]
    await asyncio.sleep(10)
    assert (permits.held, permits.queued) == (0, 0)
    await asyncio.gather(*waiting)
    assert endpoint.calls[5] == 30.0, "one probe, and nobody before it"


@_virtually
async def test_a_throttled_call_is_made_again_when_the_endpoint_wants_it() -> None:
    """It uses up no attempt, and nobody else of the endpoint's callers goes before."""
    model, endpoint = boundary(policy=PATIENT), Endpoint(_throttling(12.0))
    answers = await asyncio.gather(*(model.call(endpoint.ask) for _ in range(4)))
    assert answers == ["answer"] * 4
    assert endpoint.calls[0] == 0.0
    assert sum(time >= 12.0 for time in endpoint.calls) >= 1
    assert not [time for time in endpoint.calls if 0.0 < time < 12.0]


@_virtually
async def test_a_hanging_endpoint_is_cut_off_at_the_deadline_and_counts_as_down() -> None:
    """Five of them open the circuit, like any failure."""
    model = boundary(policy=PATIENT, timeout_seconds=4.0)
    endpoint = Endpoint(*[1000.0] * 5)
    await _failures(model, endpoint, 4)
    assert await model.call(endpoint.ask) == "answer"
    assert endpoint.calls == [0.0, 4.0, 8.0, 12.0, 16.0, 50.0]


@_virtually
async def test_nonsense_and_refusals_do_not_open_the_circuit() -> None:
    """They are answers, if bad ones; and they must not hide that the endpoint has gone down."""
    model = boundary(policy=PATIENT)
    for error in [ModelRequestRefused("e", "too long"), ModelReplyUnreadable("e", "a page")] * 5:
        with pytest.raises(type(error)):
            await model.call(Endpoint(error).ask)
    endpoint = Endpoint(_down(), _down(), ModelReplyUnreadable("e", "a page"), _down(), _down(), _down())
    await _failures(model, endpoint, 2)
    with pytest.raises(ModelReplyUnreadable):
        await model.call(endpoint.ask)
    await _failures(model, endpoint, 2)
    await model.call(endpoint.ask)
    assert endpoint.calls[-1] == 30.0


@_virtually
async def test_past_the_patience_the_endpoint_is_held_back() -> None:
    """Its worker has better things to do; nothing is wrong with the item."""
    model = boundary(policy=GatePolicy(patience_seconds=45.0))
    endpoint = Endpoint(*[_down() for _ in range(10)])
    await _failures(model, endpoint, 4)
    with pytest.raises(ModelHeldBack, match=r"has been down for 30 s .*; it may be asked again in 30 s") as caught:
        await model.call(endpoint.ask)
    assert caught.value.defers_run
    assert not caught.value.retryable
    assert caught.value.probe_in_seconds == 30.0


@_virtually
async def test_what_an_endpoint_asks_for_beyond_the_patience_is_said_and_nothing_promised() -> None:
    """Without a workflow nobody sets a run aside, and who reads the error wants to know when to try again."""
    model, endpoint = boundary(policy=PATIENT), Endpoint(_throttling(86_400.0))
    with pytest.raises(ModelHeldBack) as caught:
        await model.call(endpoint.ask)
    assert caught.value.message == (
        "scripted endpoint: has been throttling (scripted endpoint: is throttling us (429)); "
        "it may be asked again in 86400 s"
    )
    assert caught.value.probe_in_seconds == 86_400.0


@_virtually
async def test_a_ceiling_stops_the_next_call_and_not_those_under_way() -> None:
    """What is asked is paid for, so its answer is kept."""
    meter = SpendMeter(max_calls=3)
    model, endpoint = boundary(policy=PATIENT, spending=meter), Endpoint(*[5.0] * 3)
    found = await asyncio.gather(*(model.call(endpoint.ask) for _ in range(5)), return_exceptions=True)
    assert found.count("answer") == 3
    assert sum(isinstance(each, SpendCeilingReached) for each in found) == 2
    assert meter.spent == Spent(3, 0)


@_virtually
async def test_failed_calls_cost_nothing() -> None:
    """Outages must not eat up a budget."""
    meter = SpendMeter(max_calls=1)
    model, endpoint = boundary(policy=PATIENT, spending=meter), Endpoint(_down(), _throttling(1.0))
    await _failures(model, endpoint, 1)
    assert await model.call(endpoint.ask) == "answer"


async def _now() -> float:
    return asyncio.get_running_loop().time()


@_virtually
async def test_calls_are_spaced_evenly_from_the_first_on() -> None:
    """A burst at the start would be past the limit of some minute."""
    model = boundary(InProcessPermits(10), RequestRate(60))
    times = sorted(await asyncio.gather(*(model.call(_now) for _ in range(6))))
    assert times[-1] - times[0] >= 5.0


async def test_calls_in_flight_are_bounded() -> None:
    """The permit is held until the answer is there."""
    model, now, peak = boundary(InProcessPermits(2)), 0, 0

    async def ask() -> None:
        nonlocal now, peak
        now += 1
        peak = max(peak, now)
        await asyncio.sleep(0)
        now -= 1

    await asyncio.gather(*(model.call(ask) for _ in range(20)))
    assert peak == 2


async def test_a_call_cut_off_with_its_permit_can_be_made_again() -> None:
    """It is the permit that was lost, nothing is wrong with the question."""

    class LosingPermits:
        @asynccontextmanager
        async def permit(self) -> AsyncGenerator[None]:
            yield
            raise PermitLostError("the lease of the permit could not be renewed")

    with pytest.raises(ModelUnavailable) as caught:
        await boundary(LosingPermits()).call(_now)
    assert caught.value.retryable


async def test_nothing_that_asks_a_remote_model_goes_around_the_boundary() -> None:
    """A boundary that lets nobody through: no request may reach the endpoint."""

    class Closed(Exception):
        pass

    class ClosedBoundary(ModelBoundary):
        async def call(self, ask: Callable[[], Awaitable[Any]], tokens: int = 0) -> Any:
            raise Closed

    guard = EndpointGuard(InProcessPermits(1), RequestRate(), EndpointGate())
    with scripted(knowing_model) as endpoint:
        settings = EndpointSettings(base_url=endpoint.base_url, model="scripted")
        chat, vectors = (client(settings, ClosedBoundary("e", guard)) for client in (ChatClient, OpenAIEmbeddingModel))
        assert isinstance(chat, ChatClient)
        assert isinstance(vectors, OpenAIEmbeddingModel)
        for asked in (chat.ask([{"role": "user", "content": "?"}], "mentions", {}), vectors.embed(["a"])):
            with pytest.raises(Closed):
                await asked
    assert endpoint.requests == []
