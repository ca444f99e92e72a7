"""Bearer tokens of the HTTP window: who may look at, and talk to, an organisation's executions from outside.

A token is `kno.<organisation>.<id>.<secret>`. Of the secret, 256 random bits, only the SHA-256 is kept: there is
nothing to guess that a slow hash would protect.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, func, insert, or_, select, update
from sqlalchemy.orm import Mapped, mapped_column

from knowledge.errors import InputRefused, NotFound
from knowledge.ids import OrganizationId, TokenId
from tables.base import OrgTable
from tables.session import Database
from tables.storable import storable_text

_FORM = re.compile(
    rf"kno\.(?P<organization>{OrganizationId.pattern.pattern})\.(?P<id>[0-9a-f]{{32}})\.(?P<secret>[A-Za-z0-9_-]{{43}})"
)
_SECRET_BYTES = 32
_LONGEST_NAME = 100
# So often a token's use is noted: not at each request.
_NOTED_EVERY = timedelta(minutes=1)


class AccessTokenRow(OrgTable):
    """A token without its secret. A revoked one stays, as the record of who could come in."""

    __tablename__ = "access_token"

    id: Mapped[TokenId] = mapped_column(primary_key=True)
    name: Mapped[str]
    secret_digest: Mapped[str]
    expires_at: Mapped[datetime | None]
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


@dataclass(frozen=True, slots=True)
class AccessToken:
    """What is known of a token; the times are aware. `last_used_at` is a minute late at most."""

    id: TokenId
    organization_id: OrganizationId
    name: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class AccessTokens:
    """One organisation's tokens. Every method is a transaction of its own.

    All raise StoreUnavailable when the database does not answer.
    """

    def __init__(self, database: Database, organization_id: OrganizationId) -> None:
        self._database = database
        self._organization_id = organization_id

    def create(self, name: str, created_by: str, lifetime: timedelta | None) -> tuple[AccessToken, str]:
        """A new token, and its text, which nobody can be told again.

        Raises:
            InputRefused: the name is empty or too long.
        """
        if not 1 <= len(name.strip()) <= _LONGEST_NAME:
            raise InputRefused(f"a token's name must have 1 to {_LONGEST_NAME} characters: say what it is for")
        token_id, secret = TokenId.new(), secrets.token_urlsafe(_SECRET_BYTES)
        row = insert(AccessTokenRow).values(
            organization_id=self._organization_id,
            id=token_id,
            name=storable_text(name.strip()),
            secret_digest=_digest(secret),
            expires_at=None if lifetime is None else func.now() + lifetime,
        )
        with self._database.org_session(self._organization_id) as session:
            session.execute(select(func.set_config("app.actor", storable_text(created_by), True)))
            made = _token_of(session.scalars(row.returning(AccessTokenRow)).one())
        return made, f"kno.{self._organization_id}.{token_id.removeprefix('tok_')}.{secret}"

    def all(self) -> tuple[AccessToken, ...]:
        """The tokens, revoked and expired ones too, the newest first."""
        row = AccessTokenRow
        query = select(row).where(row.organization_id == self._organization_id, row.deleted_at.is_(None))
        with self._database.org_session(self._organization_id) as session:
            return tuple(map(_token_of, session.scalars(query.order_by(row.created_at.desc(), row.id))))

    def revoke(self, token_id: TokenId, revoked_by: str) -> AccessToken:
        """The token, which lets nobody in from now on. Revoking again changes nothing.

        Raises:
            NotFound: the organisation has no such token.
        """
        row, owned = AccessTokenRow, self._owned(token_id)
        with self._database.org_session(self._organization_id) as session:
            session.execute(select(func.set_config("app.actor", storable_text(revoked_by), True)))
            session.execute(update(row).where(owned, row.revoked_at.is_(None)).values(revoked_at=func.now()))
            found = session.scalar(select(row).where(owned))
            if found is None:
                raise NotFound("token", token_id)
            return _token_of(found)

    def find(self, token_id: TokenId, secret: str) -> AccessToken | None:
        """The token, if it is one that lets somebody in now, and this is its secret."""
        row, owned = AccessTokenRow, self._owned(token_id)
        is_stale = or_(row.last_used_at.is_(None), row.last_used_at < func.now() - _NOTED_EVERY)
        with self._database.org_session(self._organization_id) as session:
            found = session.execute(select(row, is_stale).where(owned, _lets_in())).one_or_none()
            # A comparison is made for unknown tokens, too: an answer's time tells nothing about either.
            digest = found[0].secret_digest if found is not None else ""
            if not hmac.compare_digest(digest, _digest(secret)) or found is None:
                return None
            if found[1]:
                noted = update(row).where(owned, is_stale).values(last_used_at=func.now())
                session.execute(noted)
            return _token_of(found[0])

    def is_good(self, token_id: TokenId) -> bool:
        """Whether the token lets anybody in now."""
        query = select(AccessTokenRow.id).where(self._owned(token_id), _lets_in())
        with self._database.org_session(self._organization_id) as session:
            return session.scalar(query) is not None

    def _owned(self, token_id: TokenId) -> ColumnElement[bool]:
        row = AccessTokenRow
        return (row.organization_id == self._organization_id) & (row.id == token_id) & row.deleted_at.is_(None)


def authenticate(database: Database, text: str) -> AccessToken | None:
    """The token whose text this is, if it lets somebody in now.

    The organisation that the text names is only asked; whether it has the token decides.

    Raises:
        StoreUnavailable: the database did not answer.
    """
    form = _FORM.fullmatch(text)
    if form is None:
        return None
    tokens = AccessTokens(database, OrganizationId(form["organization"]))
    return tokens.find(TokenId(f"tok_{form['id']}"), form["secret"])


def _lets_in() -> ColumnElement[bool]:
    row = AccessTokenRow
    return row.revoked_at.is_(None) & or_(row.expires_at.is_(None), row.expires_at > func.now())


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _token_of(row: AccessTokenRow) -> AccessToken:
    return AccessToken(
        id=row.id,
        organization_id=row.organization_id,
        name=row.name,
        created_at=row.created_at,
        created_by=row.created_by,
        expires_at=row.expires_at,
        last_used_at=row.last_used_at,
        revoked_at=row.revoked_at,
    )
