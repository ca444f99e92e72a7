"""Prefect's API, for commands that work with or without it."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from deployments.stack import running_stack
from knowledge.errors import ConfigurationError
from knowledge.settings import Settings


@asynccontextmanager
async def open_prefect(settings: Settings) -> AsyncGenerator[PrefectClient | None]:
    """The client of the running stack's server, or of the one that `PREFECT_API_URL` names; None without either.

    Raises:
        ConfigurationError: the API is there and does not answer.
    """
    stack = running_stack(settings)
    api_url = stack.api_url if stack is not None else PREFECT_API_URL.value()
    if not api_url:
        yield None
        return
    with temporary_settings({PREFECT_API_URL: api_url}):
        async with get_client() as client:
            try:
                await client.hello()
            except httpx.HTTPError as error:
                raise ConfigurationError(f"the Prefect API at {api_url} does not answer: {error}") from error
            yield client
