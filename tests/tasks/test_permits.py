"""Permits of the server's limit: refused when it bounds nothing, and given back by a killed holder's successor."""

import asyncio
import json
from collections.abc import Generator
from pathlib import Path
from uuid import uuid4

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate
from prefect.settings import PREFECT_API_URL, temporary_settings

from knowledge.errors import ConfigurationError
from tasks.permits import open_permits
from tests.running_stack import StackUnderTest

pytestmark = pytest.mark.stack


@pytest.fixture
def prefect(stack: StackUnderTest) -> Generator[None]:
    """Prefect's client talks to the stack."""
    with temporary_settings({PREFECT_API_URL: stack.running.api_url}):
        yield


async def _limit(slots: int, *, active: bool = True) -> str:
    name = f"limit-{uuid4().hex}"
    async with get_client() as client:
        limit = GlobalConcurrencyLimitCreate(name=name, limit=slots, active=active)
        await client.create_global_concurrency_limit(limit)
    return name


async def _taken(limit: str) -> int:
    async with get_client() as client:
        return (await client.read_global_concurrency_limit_by_name(limit)).active_slots


async def test_permits_are_the_servers_and_come_back(prefect: None) -> None:
    """What is held here is taken there, and at the end it is not."""
    limit = await _limit(2)
    async with open_permits(limit) as permits, permits.permit():
        assert await _taken(limit) == 1
    assert await _taken(limit) == 0


async def test_a_missing_or_inactive_limit_is_an_error_at_once(prefect: None) -> None:
    """It would bound nothing, and nobody would notice."""
    for limit, problem in (("no-such-limit", "has no global"), (await _limit(5, active=False), "not active")):
        with pytest.raises(ConfigurationError, match=problem):
            async with open_permits(limit):
                raise AssertionError("opened")


async def test_a_killed_holders_slots_are_given_back_by_its_successor(prefect: None, tmp_path: Path) -> None:
    """Otherwise the run that goes on would wait a minute for permits that nobody uses."""
    limit, file = await _limit(1), tmp_path / "leases.json"
    async with get_client() as client:
        response = await client.increment_concurrency_slots_with_lease([limit], 1, "concurrency", 60)
    file.write_text(json.dumps([response.json()["lease_id"]]))
    async with asyncio.timeout(20), open_permits(limit, leases_file=file) as permits, permits.permit():
        assert len(json.loads(file.read_text())) == 1
    assert json.loads(file.read_text()) == []
