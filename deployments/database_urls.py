"""The URLs of one PostgreSQL, as our tables and as Prefect's server want them."""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

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
    place = database_url.partition("://")[2]
    location, question_mark, query = place.partition("?")
    return DatabaseUrls(
        knowledge=f"postgresql+psycopg://{place}",
        prefect=f"postgresql+asyncpg://{location}{question_mark}{_for_asyncpg(query)}",
    )


def is_socket_url(database_url: str) -> bool:
    """Whether the URL is one of an embedded PostgreSQL, as `socket_urls` makes them."""
    parts = urlsplit(database_url)
    return (parts.netloc, parts.path) == (f"{SUPERUSER}@", f"/{KNOWLEDGE_DATABASE}")


def _for_asyncpg(query: str) -> str:
    """asyncpg knows libpq's `sslmode` as `ssl`, and refuses libpq's other options."""
    names = {"host": "host", "port": "port", "sslmode": "ssl"}
    return urlencode([(names[name], value) for name, value in parse_qsl(query) if name in names], safe="/")
