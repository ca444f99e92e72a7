"""Delays grow exponentially."""

from resilience.retry import RetryPolicy


def test_each_delay_is_twice_the_one_before() -> None:
    """Back-off: an endpoint in trouble is asked less and less."""
    assert RetryPolicy(retries=4, first_delay_seconds=0.5).delays_seconds() == (0.5, 1.0, 2.0, 4.0)


def test_no_retries_have_no_delays() -> None:
    """Retries can be switched off."""
    assert RetryPolicy(retries=0).delays_seconds() == ()
