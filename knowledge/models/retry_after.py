"""How long a throttling endpoint wants to be left alone: what its reply says, wherever it says it."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import cast

# "Please try again in 1m20.5s", "… after 20 seconds", "Retry after 350ms": as the common endpoints write it.
_SAID = re.compile(
    r"(?:try|retry)(?:ing)?(?: again)?(?: in| after)\s+"
    r"(?:(?P<minutes>\d+(?:\.\d+)?)\s*m(?:in(?:ute)?s?)?(?![a-z]))?\s*(?:(?P<number>\d+(?:\.\d+)?)\s*(?P<unit>ms|milliseconds?|s|secs?|seconds?))?",
    re.IGNORECASE,
)
_SECONDS_FIELDS, _MILLISECONDS_FIELDS = ("retry_after", "retry_after_seconds", "retryAfter"), ("retry_after_ms",)


def retry_after_seconds(headers: Mapping[str, str], body: object, now: datetime) -> float | None:
    """What the reply says, in seconds from `now` (aware) and not below 0; None if it says nothing.

    The headers count before the body: `Retry-After` is a number of seconds or an HTTP date, `retry-after-ms`
    milliseconds. `body` is the decoded JSON, or its `error` object.
    """
    for said in (_milliseconds(headers.get("retry-after-ms")), _header_seconds(headers.get("retry-after", ""), now)):
        if said is not None:
            return max(0.0, said)
    return _body_seconds(body)


def _milliseconds(value: object) -> float | None:
    seconds = _number(value)
    return None if seconds is None else seconds / 1000


def _number(value: object) -> float | None:
    try:
        number = float(str(value))
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None


def _header_seconds(value: str, now: datetime) -> float | None:
    number = _number(value.strip())
    if number is not None:
        return number
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return None
    aware = date if date.tzinfo is not None else date.replace(tzinfo=UTC)
    return max(0.0, (aware - now).total_seconds())


def _body_seconds(body: object) -> float | None:
    if not isinstance(body, dict):
        return None
    fields = cast(dict[str, object], body)
    inner = fields.get("error")
    if isinstance(inner, dict):
        return _body_seconds(cast(object, inner))
    for name in _SECONDS_FIELDS:
        if (seconds := _number(fields.get(name))) is not None:
            return seconds
    for name in _MILLISECONDS_FIELDS:
        if (seconds := _milliseconds(fields.get(name))) is not None:
            return seconds
    return _said_seconds(str(inner if isinstance(inner, str) else fields.get("message", "")))


def _said_seconds(message: str) -> float | None:
    for found in _SAID.finditer(message):
        minutes, number = found["minutes"], found["number"]
        if minutes is None and number is None:
            continue
        seconds = float(number or 0) / (1000 if (found["unit"] or "").lower().startswith("m") else 1)
        return 60 * float(minutes or 0) + seconds
    return None
