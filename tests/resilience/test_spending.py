"""A ceiling that is not passed."""

import pytest

from resilience.spending import CeilingReached, SpendMeter, Spent


def test_no_call_begins_past_the_ceiling() -> None:
    """Calls in flight have been counted when they began."""
    meter = SpendMeter(max_calls=2)
    meter.begin_call()
    meter.begin_call()
    with pytest.raises(CeilingReached, match="2 calls"):
        meter.begin_call()
    assert meter.spent == Spent(2, 0)


def test_a_call_that_was_not_answered_is_not_spent() -> None:
    """Outages must not eat up the budget."""
    meter = SpendMeter(max_calls=1)
    meter.begin_call()
    meter.take_back()
    assert not meter.is_exhausted


def test_tokens_count_when_the_answer_is_there() -> None:
    """Before, nobody knows them."""
    meter = SpendMeter(max_tokens=100, spent=Spent(3, 60))
    meter.begin_call()
    meter.add_tokens(40)
    assert meter.is_exhausted
    assert meter.spent == Spent(4, 100)


def test_without_a_ceiling_everything_goes() -> None:
    """The default."""
    meter = SpendMeter()
    for _ in range(1000):
        meter.begin_call()
        meter.add_tokens(1_000_000)
    assert not meter.is_exhausted
