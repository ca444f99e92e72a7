"""Tokens: who they let in, what is kept of them, and how they end."""

from datetime import timedelta

import pytest
from sqlalchemy import Engine, text

from knowledge.errors import InputRefused, NotFound
from knowledge.ids import OrganizationId, TokenId
from tables.session import Database
from tables.tokens import AccessTokens, authenticate


@pytest.fixture
def tokens(database: Database, organization_id: OrganizationId) -> AccessTokens:
    """The test's own organisation's tokens."""
    return AccessTokens(database, organization_id)


def test_a_token_lets_its_organisation_in_and_its_secret_is_kept_nowhere(
    database: Database, tokens: AccessTokens, organization_id: OrganizationId, administrator: Engine
) -> None:
    """Who reads the table, or a backup of it, cannot come in with what they find."""
    made, told = tokens.create("dashboard", "me", lifetime=None)
    found = authenticate(database, told)
    assert found is not None
    assert (found.id, found.organization_id, found.name, found.created_by) == (
        made.id,
        organization_id,
        "dashboard",
        "me",
    )
    with administrator.connect() as connection:
        rows = connection.execute(text("SELECT access_token::text FROM knowledge.access_token")).scalars()
        assert not [row for row in rows if told.rpartition(".")[2] in row]


def test_what_is_not_quite_a_token_lets_nobody_in(database: Database, tokens: AccessTokens) -> None:
    """Another organisation's name, a changed secret, or anything else."""
    _, told = tokens.create("dashboard", "me", lifetime=None)
    prefix, organization, token_id, secret = told.split(".")
    for wrong in (
        "",
        told + "x",
        told[:-1],
        f"{prefix}.stranger.{token_id}.{secret}",
        f"{prefix}.{organization}.{'0' * 32}.{secret}",
        f"{prefix}.{organization}.{token_id}.{secret[::-1]}",
        f"{prefix}.Not a slug.{token_id}.{secret}",
    ):
        assert authenticate(database, wrong) is None


def test_a_revoked_token_stays_on_record_and_lets_nobody_in(
    database: Database, tokens: AccessTokens, organization_id: OrganizationId
) -> None:
    """Who could come in, and who ended that, can still be answered."""
    made, told = tokens.create("dashboard", "me", lifetime=None)
    with pytest.raises(NotFound):
        AccessTokens(database, OrganizationId("stranger")).revoke(made.id, "them")
    revoked = tokens.revoke(made.id, "somebody else")
    assert tokens.revoke(made.id, "again").revoked_at == revoked.revoked_at is not None
    assert authenticate(database, told) is None
    assert not tokens.is_good(made.id)
    with database.org_session(organization_id) as session:
        by = session.scalar(text("SELECT updated_by FROM knowledge.access_token WHERE id = :id"), {"id": made.id})
    assert by == "somebody else"
    with pytest.raises(NotFound):
        tokens.revoke(TokenId.new(), "me")


def test_a_token_ends_by_itself(database: Database, tokens: AccessTokens) -> None:
    """One that was forgotten must not open the door for ever."""
    _, lasting = tokens.create("lasting", "me", timedelta(days=1))
    _, over = tokens.create("over", "me", timedelta(0))
    assert authenticate(database, lasting) is not None
    assert authenticate(database, over) is None


def test_the_last_use_is_noted_but_not_at_each_request(
    database: Database, tokens: AccessTokens, organization_id: OrganizationId
) -> None:
    """An unused token can be found and revoked; a busy one is not written a thousand times a second."""
    _, told = tokens.create("dashboard", "me", lifetime=None)
    assert tokens.all()[0].last_used_at is None
    for _ in range(3):
        authenticate(database, told)
    (token,) = tokens.all()
    assert token.last_used_at is not None
    with database.org_session(organization_id) as session:
        assert session.scalar(text("SELECT version FROM knowledge.access_token")) == 2


@pytest.mark.parametrize("name", ["", " ", "x" * 101])
def test_a_token_has_a_name(tokens: AccessTokens, name: str) -> None:
    """Nobody revokes what nobody remembers."""
    with pytest.raises(InputRefused, match="what it is for"):
        tokens.create(name, "me", lifetime=None)
