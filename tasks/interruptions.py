"""Which errors end a process without ending its run."""

from typing import cast

import httpx
from prefect.concurrency.asyncio import ConcurrencySlotAcquisitionError
from prefect.exceptions import Pause

from knowledge.errors import FenceLost, ResultNotPersisted, StoreUnavailable

_SERVER_ERRORS = 500


def is_interruption(error: BaseException) -> bool:
    """Whether nothing is wrong with the run: the database or Prefect's API is away, or another process has the run.

    Of several errors at once one such is enough.
    """
    if isinstance(error, BaseExceptionGroup):
        parts = cast(tuple[BaseException, ...], error.exceptions)  # pyright: ignore[reportUnknownMemberType]
        return any(is_interruption(part) for part in parts)
    if isinstance(error, ConcurrencySlotAcquisitionError):
        return error.__cause__ is not None and is_interruption(error.__cause__)
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= _SERVER_ERRORS
    return isinstance(error, FenceLost | StoreUnavailable | ResultNotPersisted | httpx.TransportError)


def suspension_among(error: BaseException) -> Pause | None:
    """What Prefect's engine raises in a task of a run that somebody has suspended, among errors at once."""
    if isinstance(error, BaseExceptionGroup):
        parts = cast(tuple[BaseException, ...], error.exceptions)  # pyright: ignore[reportUnknownMemberType]
        return next((found for part in parts if (found := suspension_among(part)) is not None), None)
    return error if isinstance(error, Pause) else None
