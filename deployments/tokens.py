"""`knowledge token`: the tokens of the HTTP window."""

from datetime import UTC, datetime, timedelta

from deployments.database import open_database
from deployments.signalling import this_login
from knowledge.ids import OrganizationId, TokenId
from knowledge.settings import Settings
from tables.tokens import AccessToken, AccessTokens


def create(settings: Settings, organization_id: OrganizationId, name: str, days: int) -> tuple[AccessToken, str]:
    """A new token, good for so many days (0: until it is revoked), and its text.

    Raises:
        InputRefused: the name is empty or too long.
        ConfigurationError: no stack runs and no `DATABASE_URL` is set.
    """
    lifetime = timedelta(days=days) if days else None
    with open_database(settings) as database:
        return AccessTokens(database, organization_id).create(name, this_login(), lifetime)


def listed(settings: Settings, organization_id: OrganizationId) -> tuple[AccessToken, ...]:
    """The organisation's tokens, revoked and expired ones too, the newest first.

    Raises:
        ConfigurationError: no stack runs and no `DATABASE_URL` is set.
    """
    with open_database(settings) as database:
        return AccessTokens(database, organization_id).all()


def revoke(settings: Settings, organization_id: OrganizationId, token_id: TokenId) -> AccessToken:
    """The token, revoked.

    Raises:
        NotFound: the organisation has no such token.
        ConfigurationError: no stack runs and no `DATABASE_URL` is set.
    """
    with open_database(settings) as database:
        return AccessTokens(database, organization_id).revoke(token_id, this_login())


def token_json(token: AccessToken) -> dict[str, object]:
    """The object that `token list --json` has for a token; times in ISO 8601."""
    return {
        "id": token.id,
        "name": token.name,
        "standing": _standing(token),
        "created_at": _iso(token.created_at),
        "created_by": token.created_by,
        "expires_at": _iso(token.expires_at),
        "last_used_at": _iso(token.last_used_at),
        "revoked_at": _iso(token.revoked_at),
    }


def token_line(token: AccessToken) -> str:
    """The same for people, in one line."""
    used = f"last used {token.last_used_at:%Y-%m-%d %H:%M}" if token.last_used_at else "never used"
    until = f"until {token.expires_at:%Y-%m-%d}" if token.expires_at else "without end"
    return f"{token.id}  {_standing(token):7}  {until}  {used}  {token.name} (by {token.created_by})"


def _standing(token: AccessToken) -> str:
    if token.revoked_at is not None:
        return "revoked"
    return "expired" if token.expires_at is not None and token.expires_at <= datetime.now(UTC) else "good"


def _iso(time: datetime | None) -> str | None:
    return None if time is None else time.isoformat()
