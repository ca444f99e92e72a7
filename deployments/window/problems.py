"""What goes wrong, as problem details (RFC 9457): one form for all errors, with nothing in it but what helps."""

import logging
from collections.abc import Mapping
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from knowledge.errors import InputRefused, KnowledgeError, NotFound, SignalRefused, StoreUnavailable

MEDIA_TYPE = "application/problem+json"
_AGAIN_SECONDS = 1
LONGEST_ECHO = 100
"""So many characters of what somebody sent are said back."""
_logger = logging.getLogger(__name__)


class InvalidPart(BaseModel):
    """A part of a request that cannot be accepted, and why."""

    location: str = Field(description="such as `body.name` or `query.limit`")
    message: str


class Problem(BaseModel):
    """Problem details as RFC 9457 has them; `type` is always about:blank, so `title` is the status in words."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[InvalidPart] | None = Field(default=None, description="with status 422: what is wrong with which part")


class Refusal(Exception):
    """A request that is answered with a problem."""

    def __init__(self, status: HTTPStatus, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers


def no_such_execution(text: str) -> Refusal:
    """The same for ids that are unknown, somebody else's, or none at all."""
    return Refusal(HTTPStatus.NOT_FOUND, f"there is no execution {text[:LONGEST_ECHO]!r} in this organisation")


def problem_response(
    status: int, detail: str, headers: Mapping[str, str] | None = None, errors: list[InvalidPart] | None = None
) -> JSONResponse:
    """The response that says so."""
    problem = Problem(title=HTTPStatus(status).phrase, status=status, detail=detail, errors=errors)
    content = problem.model_dump(exclude_none=True)
    return JSONResponse(content, status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def answer_with_problems(app: FastAPI) -> None:
    """Gives every error of the app the form of a problem."""
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(KnowledgeError, _known)
    app.add_exception_handler(PoolTimeout, _busy)
    app.add_exception_handler(Exception, _unexpected)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, Refusal)
    return problem_response(error.status, error.detail, error.headers)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    details = {404: "there is nothing at this address", 405: "this address does not know this method"}
    return problem_response(error.status_code, details.get(error.status_code, error.detail), error.headers)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    parts = [
        InvalidPart(location=".".join(str(place) for place in part["loc"]), message=part["msg"])
        for part in error.errors()
    ]
    return problem_response(422, "the request cannot be accepted: see errors", errors=parts)


async def _known(request: Request, error: Exception) -> JSONResponse:
    match error:
        case NotFound():
            return problem_response(404, error.message)
        case SignalRefused():
            return problem_response(409, error.message)
        case InputRefused():
            return problem_response(422, error.message)
        case StoreUnavailable():
            return await _busy(request, error)
        case _:
            return await _unexpected(request, error)


async def _busy(request: Request, error: Exception) -> JSONResponse:
    return problem_response(503, "the database does not answer: try again", {"Retry-After": str(_AGAIN_SECONDS)})


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    # The reason is for whoever runs the window, and may say more than a caller should know.
    _logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return problem_response(500, "something went wrong here; the log of `knowledge serve` says what")
