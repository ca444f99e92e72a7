"""The URLs of one PostgreSQL, as our tables and as Prefect's server want them."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from sqlalchemy.engine import URL, make_url

SUPERUSER = "postgres"
KNOWLEDGE_DATABASE = "knowledge"
PREFECT_DATABASE = "prefect"


@dataclass(frozen=True, slots=True)
class DatabaseUrls:
    """`knowledge` (psycopg 3) for our tables, `prefect` (asyncpg) for a local Prefect server's."""

    knowledge: str
    prefect: str


def socket_urls(socket_directory: Path) -> DatabaseUrls:
    """The URLs of the embedded PostgreSQL that listens in `socket_directory`."""
    host = quote(str(socket_directory), safe="/")
    return DatabaseUrls(
        knowledge=f"postgresql+psycopg://{SUPERUSER}@/{KNOWLEDGE_DATABASE}?host={host}",
        prefect=f"postgresql+asyncpg://{SUPERUSER}@/{PREFECT_DATABASE}?host={host}",
    )


def external_urls(database_url: str) -> DatabaseUrls:
    """The URLs of the one database an operator gave: Prefect's tables lie in `public`, ours in `knowledge`."""
    url = make_url(database_url)
    return DatabaseUrls(
        knowledge=url.set(drivername="postgresql+psycopg").render_as_string(hide_password=False),
        prefect=_for_asyncpg(url).render_as_string(hide_password=False),
    )


def is_socket_url(database_url: str) -> bool:
    """Whether the URL is one of an embedded PostgreSQL, as `socket_urls` makes them."""
    url = make_url(database_url)
    return url.host is None and url.username == SUPERUSER and url.database == KNOWLEDGE_DATABASE


def _for_asyncpg(url: URL) -> URL:
    # asyncpg knows libpq's `sslmode` as `ssl`, and refuses libpq's other options.
    query = {name: value for name, value in url.query.items() if name in {"host", "port"}}
    if "sslmode" in url.query:
        query["ssl"] = url.query["sslmode"]
    return url.set(drivername="postgresql+asyncpg", query=query)
