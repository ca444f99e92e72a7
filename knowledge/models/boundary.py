"""The one way from this system to a model endpoint.

The order of the layers, outside in: permit (bounded calls in flight) -> request rate -> client, which makes no
attempts of its own. Retries are the caller's (a durable task's), outside all of them. Chat and embedding
endpoints have a boundary each, so that they wait and fail apart.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from knowledge.errors import ModelUnavailable
from resilience.leases import PermitLostError
from resilience.limiter import RequestRate
from resilience.permits import Permits

Answer = TypeVar("Answer")


class ModelBoundary:
    """Guards one endpoint; build it inside the event loop that uses it."""

    def __init__(self, endpoint: str, permits: Permits, rate: RequestRate) -> None:
        self._endpoint = endpoint
        self._permits = permits
        self._rate = rate

    async def call(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """What `ask` answers, once it may go ahead.

        Raises: what `ask` raises.
        """
        try:
            async with self._permits.permit():
                await self._rate.wait()
                return await ask()
        except PermitLostError as error:
            raise ModelUnavailable(self._endpoint, f"was not waited for: {error}") from error
