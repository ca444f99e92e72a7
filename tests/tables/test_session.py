"""Sessions: always within an organisation, never more than that, and clear about a database that is away."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from sqlalchemy import Engine, NullPool, create_engine, text
from sqlalchemy.exc import DataError, ProgrammingError
from sqlalchemy.orm import Session

from knowledge.errors import ConfigurationError, InvalidId, StoreUnavailable
from knowledge.ids import DocumentId, OrganizationId
from tables.graph import DocumentRow
from tables.row_security import APP_ROLE
from tables.session import ENGINE_OPTIONS, Database, connect_arguments, create_database, sqlalchemy_url

WHO = text("SELECT current_user::text, current_setting('app.organization_id', true)")

LOGIN = text("SELECT session_user::text")


@pytest.fixture(params=[{}, ENGINE_OPTIONS], ids=["any engine", "ours"])
def one_connection(database_url: str, request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine whose sessions all use the same connection, one after the other."""
    options: dict[str, Any] = request.param
    engine = create_engine(sqlalchemy_url(database_url), **{**options, "pool_size": 1, "max_overflow": 0})
    yield engine
    engine.dispose()


def document(organization_id: OrganizationId) -> DocumentRow:
    """A row to write."""
    return DocumentRow(
        organization_id=organization_id, id=DocumentId.derive(organization_id), name="d", text="", characters=0
    )


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "postgresql://postgres:@/postgres?host=/tmp/dir",
            "postgresql+psycopg://postgres:@/postgres?host=%2Ftmp%2Fdir",
        ),
        ("postgres://u:p%40ss@h:5433/d", "postgresql+psycopg://u:p%40ss@h:5433/d"),
        ("postgresql+asyncpg://u@h/d?sslmode=require", "postgresql+psycopg://u@h/d?sslmode=require"),
    ],
)
def test_every_postgresql_url_becomes_one_for_psycopg(url: str, expected: str) -> None:
    """Operators paste the URL that they have, in any of its usual forms; doing it twice changes nothing."""
    assert sqlalchemy_url(url) == expected
    assert sqlalchemy_url(expected) == expected


@pytest.mark.parametrize("url", ["sqlite:///x.db", "mysql://u:secret@h/d", "secret", ""])
def test_other_urls_are_refused_without_being_repeated(url: str) -> None:
    """A URL may hold a password, which belongs into no message."""
    with pytest.raises(ConfigurationError, match="database") as refusal:
        sqlalchemy_url(url)
    assert "secret" not in refusal.value.message


def test_the_urls_own_connection_parameters_win() -> None:
    """An operator's timeout is not overruled by ours."""
    arguments = connect_arguments("postgresql://h/d?connect_timeout=3")
    assert "connect_timeout" not in arguments
    assert arguments["keepalives"] == 1


def test_each_transaction_of_a_session_is_within_the_organisation(
    database: Database, organization_id: OrganizationId
) -> None:
    """Also after a commit within the session, and inside a savepoint."""
    expected = (APP_ROLE, organization_id)
    with database.org_session(organization_id) as session:
        assert session.execute(WHO).one() == expected
        with session.begin_nested():
            assert session.execute(WHO).one() == expected


def test_nothing_of_an_organisation_stays_on_the_connection(
    one_connection: Engine, organization_id: OrganizationId
) -> None:
    """The next one who gets the pooled connection, however the last transaction ended, starts from nothing."""
    database = Database(one_connection)
    with database.org_session(organization_id) as session:
        session.execute(WHO)
    with pytest.raises(DataError), database.org_session(organization_id) as session:
        session.execute(text("SELECT 1 / 0"))
    with one_connection.connect() as connection:
        assert connection.execute(WHO).one() == (connection.scalar(LOGIN), "")
    other = OrganizationId("other")
    with database.org_session(other) as session:
        assert session.execute(WHO).one() == (APP_ROLE, other)


def test_a_cursor_is_as_close_to_its_organisation_as_a_session(
    one_connection: Engine, organization_id: OrganizationId
) -> None:
    """Its transaction commits or rolls back, and leaves nothing on the connection, however it ends."""
    database = Database(one_connection)
    with database.org_cursor(organization_id) as cursor:
        assert cursor.execute(str(WHO).encode()).fetchone() == (APP_ROLE, organization_id)
    with pytest.raises(psycopg.errors.DivisionByZero), database.org_cursor(organization_id) as cursor:
        cursor.execute("SELECT 1 / 0")
    with pytest.raises(ZeroDivisionError), database.org_cursor(organization_id):
        raise ZeroDivisionError
    with one_connection.connect() as connection:
        assert connection.execute(WHO).one() == (connection.scalar(LOGIN), "")


def test_a_cursor_whose_connection_breaks_is_unavailable_and_then_replaced(
    one_connection: Engine, administrator: Engine, organization_id: OrganizationId
) -> None:
    """A restart of PostgreSQL is not the end of a process."""
    database = Database(one_connection)

    def break_midway() -> None:
        with database.org_cursor(organization_id) as cursor:
            row = cursor.execute("SELECT pg_backend_pid()").fetchone()
            with administrator.connect() as other:
                other.execute(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": row and row[0]})
            cursor.execute("SELECT 1")

    with pytest.raises(StoreUnavailable):
        break_midway()
    with database.org_cursor(organization_id) as cursor:
        assert cursor.execute("SELECT 1").fetchone() == (1,)


def test_a_session_commits_at_its_end_and_rolls_back_on_an_error(
    database: Database, organization_id: OrganizationId
) -> None:
    """One session is one transaction: all of it or nothing."""

    def write_and_fail() -> None:
        with database.org_session(organization_id) as session:
            session.add(document(organization_id))
            session.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_and_fail()
    count = text("SELECT count(*) FROM knowledge.document")
    with database.org_session(organization_id) as session:
        assert session.scalar(count) == 0
        session.add(document(organization_id))
    with database.org_session(organization_id) as session:
        assert session.scalar(count) == 1


def test_every_change_of_a_row_is_counted_and_signed(database: Database, organization_id: OrganizationId) -> None:
    """Whoever updates a row, by raw SQL too, cannot forget its version and author."""
    with database.org_session(organization_id) as session:
        session.add(document(organization_id))
    with database.org_session(organization_id) as session:
        session.execute(text("SELECT set_config('app.actor', 'ada', true)"))
        session.execute(text("UPDATE knowledge.document SET name = 'new', version = 99"))
        row, login = session.execute(text("SELECT id, session_user::text FROM knowledge.document")).one()
        found = session.get(DocumentRow, (organization_id, DocumentId(row)))
    assert found is not None
    assert (found.version, found.created_by, found.updated_by) == (2, login, "ada")
    assert found.updated_at > found.created_at


def test_a_database_that_is_away_is_unavailable(organization_id: OrganizationId) -> None:
    """Callers retry this error, and only need to know this one."""
    database = create_database("postgresql://postgres@/none?host=/nonexistent")
    with pytest.raises(StoreUnavailable, match="did not answer"), database.org_session(organization_id) as session:
        session.execute(WHO)


def test_a_connection_that_breaks_midway_is_unavailable_and_then_replaced(
    database: Database, administrator: Engine, organization_id: OrganizationId
) -> None:
    """A restart of PostgreSQL costs the transactions under way and nothing after them."""
    kill = text("SELECT pg_terminate_backend(:pid, 5000)")

    def lose_connection(session: Session) -> None:
        pid = session.scalar(text("SELECT pg_backend_pid()"))
        with administrator.connect() as connection:
            assert connection.scalar(kill, {"pid": pid})

    def be_interrupted() -> None:
        with database.org_session(organization_id) as session:
            lose_connection(session)
            session.execute(WHO)

    with pytest.raises(StoreUnavailable):
        be_interrupted()
    with pytest.raises(StoreUnavailable), database.org_session(organization_id) as session:
        lose_connection(session)
    with database.org_session(organization_id) as session:
        assert session.scalar(text("SELECT 1")) == 1


def test_a_connection_that_broke_while_nobody_used_it_is_not_noticed(
    one_connection: Engine, administrator: Engine, organization_id: OrganizationId
) -> None:
    """A restart of PostgreSQL between two transactions costs nothing."""
    database = Database(one_connection)
    with database.org_session(organization_id) as session:
        pid = session.scalar(text("SELECT pg_backend_pid()"))
    with administrator.connect() as connection:
        assert connection.scalar(text("SELECT pg_terminate_backend(:pid, 5000)"), {"pid": pid})
    with database.org_session(organization_id) as session:
        assert session.scalar(text("SELECT pg_backend_pid()")) != pid


def test_a_database_that_is_not_migrated_says_so(empty_database_url: str, organization_id: OrganizationId) -> None:
    """The operator reads what to do, instead of which relation does not exist."""
    database = Database(create_engine(sqlalchemy_url(empty_database_url), poolclass=NullPool))
    with pytest.raises(ConfigurationError, match="migrate"), database.org_session(organization_id) as session:
        session.add(document(organization_id))


def test_mistakes_in_sql_are_not_taken_for_an_outage(database: Database, organization_id: OrganizationId) -> None:
    """Retrying a programming error would hide it."""
    with pytest.raises(ProgrammingError), database.org_session(organization_id) as session:
        session.execute(text("SELEC 1"))


@pytest.mark.parametrize("bad", ["Not A Slug", ""])
def test_a_session_for_no_valid_organisation_is_refused(database: Database, bad: str) -> None:
    """The empty organisation is nobody's."""
    with pytest.raises(InvalidId), database.org_session(bad) as session:  # pyright: ignore[reportArgumentType]
        session.execute(WHO)


def test_ids_are_validated_on_the_way_in_and_out(database: Database, organization_id: OrganizationId) -> None:
    """A text that is not an id of its kind neither enters a column nor leaves it as one."""
    bad = document(organization_id)
    bad.id = "ext_" + "0" * 32  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(InvalidId, match="DocumentId"), database.org_session(organization_id) as session:
        session.add(bad)
    insert = "INSERT INTO knowledge.document (organization_id, id, name, text, characters) VALUES (:o, 'x', '', '', 0)"
    with database.org_session(organization_id) as session:
        session.execute(text(insert), {"o": organization_id})
    with pytest.raises(InvalidId, match="DocumentId"), database.org_session(organization_id) as session:
        session.query(DocumentRow).all()
