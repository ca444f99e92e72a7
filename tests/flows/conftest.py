"""What tests of flows on a real stack share."""

from collections.abc import AsyncGenerator

import pytest
from prefect.client.orchestration import PrefectClient, get_client
from prefect.settings import PREFECT_API_URL, temporary_settings

from tests.running_stack import StackUnderTest


@pytest.fixture
async def client(stack: StackUnderTest) -> AsyncGenerator[PrefectClient]:
    with temporary_settings({PREFECT_API_URL: stack.running.api_url}):
        async with get_client() as client:
            yield client
