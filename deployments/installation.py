"""`knowledge provision`: what workers on other machines need, made once, from anywhere."""

import asyncio
import os

from prefect.client.orchestration import get_client

from deployments.database_urls import external_urls
from deployments.parts import DatabaseRule
from deployments.provision import provision
from deployments.stack import refuse_silent_api
from knowledge.errors import ConfigurationError
from knowledge.settings import Settings
from tables.schema import upgrade


def provision_installation(settings: Settings) -> str:
    """Brings the database's tables up to date and registers all that runs need; returns the server's API address.

    Doing it twice changes nothing. A work pool of another type that is there already stays as it is.

    Raises:
        ConfigurationError: no server or database is named, or one of them refuses or does not answer.
        StoreUnavailable: the database does not answer.
    """
    api_url = os.environ.get("PREFECT_API_URL")
    if not api_url or settings.database_url is None:
        raise ConfigurationError(
            "set PREFECT_API_URL and KNOWLEDGE_DATABASE_URL to the team's server and database; "
            "a stack on this machine alone is provisioned by `knowledge up`"
        )
    refuse_silent_api(api_url)
    database_url = external_urls(settings.database_url.get_secret_value()).knowledge
    upgrade(database_url)
    asyncio.run(_register(database_url))
    return api_url


async def _register(database_url: str) -> None:
    async with get_client() as client:
        await provision(client, database_url=database_url, rule=DatabaseRule.ANY)
