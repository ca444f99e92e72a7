"""Who asks: the bearer token of a request, and the organisation that it is of."""

from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from deployments.window.problems import Refusal
from tables.session import Database
from tables.tokens import AccessToken, authenticate

_scheme = HTTPBearer(
    scheme_name="token",
    description="A token made with `knowledge token create`. It opens one organisation's executions.",
    auto_error=False,
)


def database_of(request: Request) -> Database:
    """The database behind the window."""
    return request.app.state.database


def token_of(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_scheme)]
) -> AccessToken:
    """The token that lets this request in; called in a thread.

    Raises:
        Refusal: 401, the same for a token that is missing, unknown, expired or revoked.
    """
    token = None if credentials is None else authenticate(database_of(request), credentials.credentials)
    if token is None:
        raise Refusal(
            HTTPStatus.UNAUTHORIZED,
            "send a valid token as `Authorization: Bearer …`: `knowledge token create` makes one",
            {"WWW-Authenticate": 'Bearer realm="knowledge"'},
        )
    return token


Token = Annotated[AccessToken, Depends(token_of)]
OpenDatabase = Annotated[Database, Depends(database_of)]
