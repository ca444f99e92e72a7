"""Migrations: up from empty, back, and in agreement with the models."""

from tables.schema import check, downgrade, upgrade


def test_migrations_run_from_empty_and_back_and_again(empty_database_url: str) -> None:
    """An operator can take the schema down and up again without a trace."""
    for _ in range(2):
        upgrade(empty_database_url)
        check(empty_database_url)
        downgrade(empty_database_url, "base")
