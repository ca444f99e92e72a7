"""What a throttling endpoint says, wherever it says it."""

from datetime import UTC, datetime

import pytest

from knowledge.models.retry_after import retry_after_seconds

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry-after": "7"}, None, 7.0),
        ({"retry-after": "0.5"}, None, 0.5),
        ({"retry-after": "Thu, 01 Jan 2026 12:01:30 GMT"}, None, 90.0),
        ({"retry-after": "Thu, 01 Jan 2026 11:00:00 GMT"}, None, 0.0),
        ({"retry-after-ms": "350", "retry-after": "1"}, None, 0.35),
        ({"retry-after": "soon"}, {"message": "Please try again in 20s."}, 20.0),
        ({"retry-after": "-5"}, None, None),
        ({"retry-after": "nan"}, None, None),
        ({}, {"message": "Rate limit reached. Please try again in 1m20.5s. Visit us"}, 80.5),
        ({}, {"message": "Please try again in 350ms."}, 0.35),
        ({}, {"error": {"message": "Please retry after 26 seconds."}}, 26.0),
        ({}, {"error": "Too many; retry in 2 minutes"}, 120.0),
        ({}, {"error": {"retry_after": 3}}, 3.0),
        ({}, {"retry_after_ms": 1500}, 1.5),
        ({}, {"message": "slow down"}, None),
        ({}, "slow down", None),
        ({}, {"message": "try again"}, None),
    ],
)
def test_the_wait_is_read_from_header_or_body(headers: dict[str, str], body: object, seconds: float | None) -> None:
    """Asking again before it is over is refused again, and counted against us."""
    assert retry_after_seconds(headers, body, NOW) == seconds
