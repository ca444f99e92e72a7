"""Stored stage results: durable or refused, and each organisation's own."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Engine, text

from knowledge.errors import ResultNotPersisted, StoreUnavailable
from knowledge.ids import OrganizationId
from tables.results import ResultStore
from tables.session import Database, create_database


def test_a_result_is_read_back_and_replaced(database: Database, organization_id: OrganizationId) -> None:
    """Bytes come back as they were; a second write under the key takes the first one's place."""
    results = ResultStore(database)
    assert results.read(organization_id, "key") is None
    for payload in (b'{"a": "\x00\xff"}', b"", b"second"):
        results.write(organization_id, "key", payload)
        assert results.read(organization_id, "key") == payload


def test_organisations_never_share_an_answer(database: Database, organization_id: OrganizationId) -> None:
    """The same key is another result in another organisation."""
    results = ResultStore(database)
    other = OrganizationId(organization_id + "-other")
    results.write(organization_id, "key", b"mine")
    assert results.read(other, "key") is None
    results.write(other, "key", b"theirs")
    assert results.read(organization_id, "key") == b"mine"


def test_which_results_are_stored_is_asked_at_once(database: Database, organization_id: OrganizationId) -> None:
    """A document's questions are looked up in one query, without reading what is behind them."""
    results = ResultStore(database)
    results.write_many(organization_id, {"a": b"1", "c": b"3"})
    assert results.find(organization_id, ["a", "b", "c"]) == {"a", "c"}
    assert results.find(organization_id, []) == frozenset()


@pytest.fixture
def corrupting(administrator: Engine) -> Iterator[None]:
    """A database that stores something else than it is given."""
    with administrator.begin() as connection:
        connection.execute(
            text(
                "CREATE FUNCTION knowledge.corrupt() RETURNS trigger LANGUAGE plpgsql AS "
                "$$ BEGIN NEW.payload := 'torn'; RETURN NEW; END $$"
            )
        )
        connection.execute(
            text(
                "CREATE TRIGGER corrupt BEFORE INSERT OR UPDATE ON knowledge.stage_result "
                "FOR EACH ROW EXECUTE FUNCTION knowledge.corrupt()"
            )
        )
    yield
    with administrator.begin() as connection:
        connection.execute(text("DROP FUNCTION knowledge.corrupt() CASCADE"))


@pytest.mark.usefixtures("corrupting")
def test_a_result_stored_as_something_else_is_reported(database: Database, organization_id: OrganizationId) -> None:
    """A paid answer that is not really kept must fail its task, or it would be lost at the next restart."""
    results = ResultStore(database)
    with pytest.raises(ResultNotPersisted, match="something else"):
        results.write(organization_id, "key", b"answer")
    assert results.read(organization_id, "key") is None


def test_a_result_that_reaches_no_database_is_reported(organization_id: OrganizationId) -> None:
    """The writer is told that it may try again; the reader that the database is away."""
    results = ResultStore(create_database("postgresql://postgres@/none?host=/nonexistent"))
    with pytest.raises(ResultNotPersisted, match="could not be stored"):
        results.write(organization_id, "key", b"answer")
    with pytest.raises(StoreUnavailable):
        results.read(organization_id, "key")


def test_many_results_are_stored_and_read_at_once(database: Database, organization_id: OrganizationId) -> None:
    """A resumed run reads a thousand answers; what is not stored is left out."""
    results = ResultStore(database)
    results.write_many(organization_id, {"one": b"1", "two": b"2"})
    results.write_many(organization_id, {"two": b"zwei", "three": b"3"})
    found = results.read_many(organization_id, ["one", "two", "three", "four"])
    assert found == {"one": b"1", "two": b"zwei", "three": b"3"}
