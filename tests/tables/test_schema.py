"""Migrations: up from empty, back, by two at once, by modest logins, and in agreement with the models."""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import create_engine, make_url, text

from knowledge.errors import ConfigurationError, StoreUnavailable
from knowledge.ids import OrganizationId
from tables.graph_store import publish
from tables.links import link_entities
from tables.retraction import retract
from tables.row_security import APP_ROLE, OPERATOR_ROLE
from tables.schema import check, downgrade, upgrade
from tables.session import create_database, sqlalchemy_url
from tests.graphs import publish_facts

OURS = text("SELECT nspname FROM pg_namespace WHERE nspname = 'knowledge'")


def execute(url: str, *statements: str) -> None:
    """Runs statements, each in a transaction of its own, as the URL's login."""
    engine = create_engine(sqlalchemy_url(url), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


@pytest.fixture
def modest_url(empty_database_url: str, database_url: str) -> Iterator[Callable[..., str]]:
    """Makes a login that is no superuser but owns the database, and is a member of the roles given; gives its URL."""
    upgrade(database_url)  # so that the application role, which all databases of a server share, is there
    name = f"modest_{uuid.uuid4().hex[:8]}"
    database = make_url(empty_database_url).database

    def make(*roles: str) -> str:
        execute(
            empty_database_url,
            f"CREATE ROLE {name} LOGIN PASSWORD 'pw'",
            f"ALTER DATABASE {database} OWNER TO {name}",
            "CREATE EXTENSION IF NOT EXISTS vector",
            *(f"GRANT {role} TO {name}" for role in roles),
        )
        return make_url(empty_database_url).set(username=name, password="pw").render_as_string(hide_password=False)

    yield make
    execute(
        empty_database_url, f"REASSIGN OWNED BY {name} TO CURRENT_USER", f"DROP OWNED BY {name}", f"DROP ROLE {name}"
    )


@pytest.fixture
def modest_owners_url(modest_url: Callable[..., str]) -> str:
    """The URL of a migrated database whose owner is no superuser."""
    url = modest_url(APP_ROLE, OPERATOR_ROLE)
    upgrade(url)
    return url


def test_migrations_run_from_empty_and_back_and_again(empty_database_url: str) -> None:
    """An operator can take the schema down and up again without a trace."""
    engine = create_engine(sqlalchemy_url(empty_database_url))
    for _ in range(2):
        upgrade(empty_database_url)
        upgrade(empty_database_url)
        check(empty_database_url)
        downgrade(empty_database_url, "base")
        with engine.connect() as connection:
            assert connection.scalar(OURS) is None
    downgrade(empty_database_url)
    engine.dispose()


def test_names_that_were_there_belong_to_their_extraction(
    modest_owners_url: str, organization_id: OrganizationId
) -> None:
    """Documents that were read before stay candidates, those retracted not; also where the owner is no superuser."""
    url = modest_owners_url
    database = create_database(url)
    published = publish_facts(database, organization_id)
    graph = published.graph
    link_entities(database, organization_id, graph.extraction_id, published.execution_id)
    named = text("SELECT id, extraction_id, deleted_at IS NULL FROM knowledge.entity_name ORDER BY 1")
    with database.org_session(organization_id) as session:
        before = session.execute(named).all()
        retract(session, organization_id, graph.document_id, graph.ontology_id, "test")
    assert before
    database.close()
    downgrade(url, "0009")
    upgrade(url)
    with database.org_session(organization_id) as session:
        assert session.execute(named).all() == [(row[0], graph.extraction_id, False) for row in before]
    check(url)
    database.close()


def test_what_is_said_of_entities_that_were_there_is_as_if_they_were_published_now(
    modest_owners_url: str, organization_id: OrganizationId
) -> None:
    """Documents that were read before are compared by their facts; also where the owner is no superuser."""
    url = modest_owners_url
    database = create_database(url)
    published = publish_facts(database, organization_id)
    said = text("SELECT label, facts FROM knowledge.entity ORDER BY label")
    with database.org_session(organization_id) as session:
        before = session.execute(said).all()
    assert dict(before)["Oslo"] == [["^https://example.org/f#birthPlace", "Ada Brandt", None]]
    database.close()
    downgrade(url, "0010")
    upgrade(url)
    with database.org_session(organization_id) as session:
        assert session.execute(said).all() == before
    assert publish(database, organization_id, published.graph, published.execution_id) == 0
    check(url)
    database.close()


def test_two_processes_migrating_at_once_take_turns(empty_database_url: str) -> None:
    """Several workers that start together on a new database do not trip over each other."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upgrade, [empty_database_url] * 4))
    check(empty_database_url)


def test_other_schemas_are_left_alone(empty_database_url: str) -> None:
    """Prefect's tables and Alembic version lie in `public` of the same database, and are none of ours."""
    execute(
        empty_database_url,
        "CREATE TABLE public.alembic_version (version_num text)",
        "INSERT INTO public.alembic_version VALUES ('prefect')",
        "CREATE TABLE public.document (x int)",
    )
    upgrade(empty_database_url)
    check(empty_database_url)
    downgrade(empty_database_url)
    execute(empty_database_url, "SELECT x FROM public.document", "DROP TABLE public.alembic_version, public.document")


@pytest.mark.parametrize(
    ("damage", "named"),
    [
        ("ALTER TABLE knowledge.entity ADD COLUMN extra int", "extra"),
        ("ALTER TABLE knowledge.mention DROP COLUMN text", "mention"),
        ("ALTER TABLE knowledge.embedding ALTER COLUMN vector TYPE vector(3)", "vector"),
        ("ALTER TABLE knowledge.extraction DROP CONSTRAINT fk_extraction_organization_id_document_id", "document_id"),
        ("DROP INDEX knowledge.ix_mention_organization_id_extraction_id_entity_id", "ix_mention"),
        ("ALTER TABLE knowledge.mention NO FORCE ROW LEVEL SECURITY", "mention"),
    ],
)
def test_a_schema_that_differs_from_the_models_is_named(empty_database_url: str, damage: str, named: str) -> None:
    """A clean check means something: each kind of difference is found."""
    upgrade(empty_database_url)
    execute(empty_database_url, damage)
    with pytest.raises(ConfigurationError, match=named):
        check(empty_database_url)


def test_a_database_without_our_schema_does_not_pass_the_check(empty_database_url: str) -> None:
    """Not migrated is different from the models, too."""
    with pytest.raises(ConfigurationError, match="migrate it"):
        check(empty_database_url)


def test_an_owner_who_is_no_superuser_is_bound_by_row_level_security(
    modest_url: Callable[..., str], organization_id: OrganizationId
) -> None:
    """The login that migrates and works may own the tables; it still sees nothing outside an org_session."""
    url = modest_url(APP_ROLE, OPERATOR_ROLE)
    upgrade(url)
    check(url)
    database = create_database(url)
    count = text("SELECT count(*) FROM knowledge.document")
    with database.org_session(organization_id) as session:
        session.execute(
            text(
                "INSERT INTO knowledge.document (organization_id, id, name, text, characters) "
                "VALUES (:organization, 'doc_0', '', '', 0)"
            ),
            {"organization": organization_id},
        )
        assert session.scalar(count) == 1
    engine = create_engine(sqlalchemy_url(url))
    with engine.connect() as connection:
        assert connection.scalar(count) == 0
    engine.dispose()
    database.close()


def test_a_login_without_the_rights_is_told_which(modest_url: Callable[..., str]) -> None:
    """The message is what the operator hands to the database's administrator."""
    with pytest.raises(ConfigurationError, match=f"GRANT {APP_ROLE} TO"):
        upgrade(modest_url())


def test_a_login_that_may_not_take_the_role_is_told_so(
    modest_url: Callable[..., str], empty_database_url: str, organization_id: OrganizationId
) -> None:
    """A worker's login that nobody granted the role fails clearly, and closed."""
    upgrade(empty_database_url)
    database = create_database(modest_url())
    with (
        pytest.raises(ConfigurationError, match=f"GRANT {APP_ROLE} TO"),
        database.org_session(organization_id) as session,
    ):
        session.execute(text("SELECT 1"))
    database.close()


def test_a_database_that_is_away_is_unavailable() -> None:
    """Whoever starts the stack waits for the database, and knows by this error that it may."""
    with pytest.raises(StoreUnavailable, match="did not answer"):
        upgrade("postgresql://postgres@/none?host=/nonexistent")


def test_a_login_may_be_named_like_our_schema(empty_database_url: str) -> None:
    """PostgreSQL looks into a schema of the login's name first: the extension would be where no other role finds it."""
    as_knowledge = make_url(empty_database_url).set(username="knowledge", password="pw")
    execute(empty_database_url, "CREATE ROLE knowledge LOGIN SUPERUSER PASSWORD 'pw'")
    try:
        upgrade(as_knowledge.render_as_string(hide_password=False))
        check(empty_database_url)
        engine = create_engine(sqlalchemy_url(empty_database_url))
        with engine.connect() as connection:
            found = "SELECT extnamespace::regnamespace::text FROM pg_extension WHERE extname = 'vector'"
            assert connection.scalar(text(found)) == "public"
        engine.dispose()
    finally:
        execute(empty_database_url, "REASSIGN OWNED BY knowledge TO CURRENT_USER", "DROP OWNED BY knowledge")
        execute(empty_database_url, "DROP ROLE knowledge")
