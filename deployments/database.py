"""The database of the stack that runs, for commands that only look or record."""

from collections.abc import Generator
from contextlib import contextmanager

from deployments.stack import require_database_of, running_stack
from knowledge.errors import ConfigurationError
from knowledge.settings import Settings
from tables.session import Database, create_database


@contextmanager
def open_database(settings: Settings) -> Generator[Database]:
    """The running stack's database, or the one that `DATABASE_URL` names; closed at the end.

    Raises:
        ConfigurationError: no stack runs and no `DATABASE_URL` is set, or the stack's database is another one.
    """
    database = create_database(_url(settings))
    try:
        yield database
    finally:
        database.close()


def _url(settings: Settings) -> str:
    stack = running_stack(settings)
    if stack is not None:
        require_database_of(stack, settings)
        return stack.database_url
    if settings.database_url is not None:
        return settings.database_url.get_secret_value()
    raise ConfigurationError("no stack is running: start one with `knowledge up`, or set KNOWLEDGE_DATABASE_URL")
