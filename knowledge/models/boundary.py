"""The one way from this system to a model endpoint.

The order of the layers, outside in: pause (the endpoint asked to be left alone) -> permit (bounded calls in flight)
-> request rate -> client, which makes no attempts of its own. Retries are the caller's (a durable task's), outside all
of them. Whoever waits for a pause holds no permit. Chat and embedding endpoints have a boundary each, so that they
wait and fail apart.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from knowledge.errors import ModelThrottled, ModelUnavailable
from resilience.leases import PermitLostError
from resilience.limiter import Pause, RequestRate
from resilience.permits import Permits

# Endpoints that throttle without saying for how long.
_UNSAID_PAUSE_SECONDS = 1.0

Answer = TypeVar("Answer")


class ModelBoundary:
    """Guards one endpoint; build it inside the event loop that uses it."""

    def __init__(self, endpoint: str, permits: Permits, rate: RequestRate) -> None:
        self._endpoint = endpoint
        self._permits = permits
        self._rate = rate
        self._pause = Pause()

    async def call(self, ask: Callable[[], Awaitable[Answer]]) -> Answer:
        """What `ask` answers, once it may go ahead. Being throttled makes every caller of the endpoint pause.

        Raises: what `ask` raises, and
            ModelUnavailable: the call had to be cut off to keep the bound on calls in flight.
        """
        while True:
            await self._pause.over()
            try:
                async with self._permits.permit():
                    if self._pause.left_seconds > 0:
                        continue
                    await self._rate.wait()
                    return await ask()
            except ModelThrottled as error:
                self._pause.extend(error.retry_after_seconds or _UNSAID_PAUSE_SECONDS)
                raise
            except PermitLostError as error:
                raise ModelUnavailable(self._endpoint, f"was not waited for: {error}") from error
