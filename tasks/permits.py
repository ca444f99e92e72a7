"""Permits under the authority of a Prefect global concurrency limit, for all processes and machines."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.exceptions import ObjectNotFound, PrefectHTTPStatusError

from knowledge.errors import ConfigurationError
from resilience.leases import LeasedPermits, LeaseTiming

EMBEDDING_LIMIT = "embedding"


@asynccontextmanager
async def open_permits(
    limit: str = EMBEDDING_LIMIT, timing: LeaseTiming | None = None, leases_file: Path | None = None
) -> AsyncGenerator[LeasedPermits]:
    """Permits of the limit, whose slots are shared with every other process; all are given back at the end.

    In `leases_file` the leases are noted while they are held. Those that a killed predecessor left in it are given
    back first; without it they come free when they run out.

    Raises:
        ConfigurationError: the limit does not exist or is not active, so that it would bound nothing.
    """
    timing = timing or LeaseTiming()
    async with get_client() as client:
        slots = await _slots_of(client, limit)
        leases = _PrefectLeases(client, limit, timing.duration, leases_file)
        await leases.release_left()
        async with LeasedPermits(leases, slots, timing) as permits:
            yield permits


async def _slots_of(client: PrefectClient, limit: str) -> int:
    try:
        found = await client.read_global_concurrency_limit_by_name(limit)
    except ObjectNotFound as error:
        raise ConfigurationError(
            f"the Prefect server has no global concurrency limit {limit!r}: create it with "
            f"`prefect gcl create {limit} --limit 5`"
        ) from error
    if not found.active:
        raise ConfigurationError(
            f"the global concurrency limit {limit!r} is not active and bounds nothing: "
            f"`prefect gcl enable {limit}` activates it"
        )
    return found.limit


class _PrefectLeases:
    def __init__(self, client: PrefectClient, limit: str, duration_seconds: float, file: Path | None) -> None:
        self._client = client
        self._limit = limit
        self._duration_seconds = duration_seconds
        self._file = file
        self._held: set[str] = set()

    async def release_left(self) -> None:
        """Gives back what the file names."""
        if self._file is None or not self._file.exists():
            return
        with suppress(ValueError):
            self._held = {str(UUID(lease_id)) for lease_id in json.loads(self._file.read_text())}
        for lease_id in sorted(self._held):
            with suppress(OSError):
                await self.release(lease_id)

    def _note(self, held: set[str]) -> None:
        self._held = held
        if self._file is not None:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            partial = self._file.with_suffix(".partial")
            partial.write_text(json.dumps(sorted(held)))
            partial.replace(self._file)

    async def acquire(self) -> str | None:
        try:
            response = await self._client.increment_concurrency_slots_with_lease(
                names=[self._limit], slots=1, mode="concurrency", lease_duration=self._duration_seconds
            )
        except PrefectHTTPStatusError as error:
            if error.response.status_code == HTTPStatus.LOCKED:
                return None
            raise OSError(f"the Prefect server answered {error.response.status_code}") from error
        except httpx.HTTPError as error:
            raise OSError(f"the Prefect server does not answer ({error})") from error
        lease_id = str(response.json()["lease_id"])
        self._note(self._held | {lease_id})
        return lease_id

    async def renew(self, lease_id: str) -> None:
        try:
            await self._client.renew_concurrency_lease(UUID(lease_id), self._duration_seconds)
        except (PrefectHTTPStatusError, httpx.HTTPError) as error:
            raise OSError(f"the Prefect server did not renew the lease ({error})") from error

    async def release(self, lease_id: str) -> None:
        try:
            await self._client.release_concurrency_slots_with_lease(UUID(lease_id))
        except (PrefectHTTPStatusError, httpx.HTTPError) as error:
            raise OSError(f"the Prefect server did not take the lease back ({error})") from error
        finally:
            self._note(self._held - {lease_id})
