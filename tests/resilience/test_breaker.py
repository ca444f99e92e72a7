"""What counts as consecutive, and what the circuit makes of it."""

from resilience.breaker import Breaker


def _failing(breaker: Breaker, times: int) -> int:
    failures = 0
    for _ in range(times):
        failures = breaker.fail(breaker.begin())
    return failures


def test_five_failures_in_a_row_open_the_circuit() -> None:
    """The mission's own case: four do not."""
    breaker = Breaker(failures=5)
    assert not breaker.trips(_failing(breaker, 4))
    assert breaker.trips(_failing(breaker, 1))
    assert breaker.state == "open"


def test_an_answer_in_between_starts_the_count_anew() -> None:
    """Failures are only consecutive without one."""
    breaker = Breaker(failures=5)
    _failing(breaker, 4)
    breaker.answer(breaker.begin())
    assert _failing(breaker, 1) == 1


def test_answers_to_calls_from_before_an_outage_do_not_mask_it() -> None:
    """With eight calls in flight they come in between the first failures, and each would start the count anew."""
    breaker = Breaker(failures=5)
    before = [breaker.begin() for _ in range(8)]
    failures = 0
    for call in before[:5]:
        breaker.answer(call)
        failures = breaker.fail(breaker.begin())
    assert failures == 5


def test_quick_failures_among_slow_answers_are_not_consecutive() -> None:
    """Every second call fails at once, and the others take their time: the endpoint is not down."""
    breaker = Breaker(failures=5)
    slow: list[int] = []
    for _ in range(10):
        slow.append(breaker.begin())
        assert breaker.fail(breaker.begin()) == 1
    for call in slow:
        breaker.answer(call)
    assert breaker.failures == 1


def test_a_failure_that_began_before_an_answered_call_comes_too_late() -> None:
    """The endpoint has worked since."""
    breaker = Breaker(failures=1)
    early, late = breaker.begin(), breaker.begin()
    breaker.answer(late)
    assert breaker.fail(early) == 0


def test_a_forgotten_call_is_neither_good_nor_bad() -> None:
    """A cancelled call, or one refused for its content, must not hide an outage nor be one."""
    breaker = Breaker(failures=5)
    _failing(breaker, 3)
    breaker.forget(breaker.begin())
    assert _failing(breaker, 1) == 4


def test_a_closed_circuit_forgets_what_was_under_way() -> None:
    """What comes of calls from before is no news."""
    breaker = Breaker(failures=5)
    old = breaker.begin()
    breaker.open()
    breaker.half_open()
    breaker.close()
    assert breaker.fail(old) == 0
    assert breaker.state == "closed"
