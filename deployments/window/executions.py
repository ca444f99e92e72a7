"""Executions to look at, and signals to them."""

import asyncio
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Query, Request
from fastapi.routing import APIRoute

from deployments.signalling import see_to
from deployments.window.access import OpenDatabase, Token
from deployments.window.problems import LONGEST_ECHO, Problem, Refusal, no_such_execution
from deployments.window.views import ExecutionDetail, ExecutionPage, ExecutionView, NewSignal, SentSignal
from knowledge.errors import InvalidId
from knowledge.ids import ExecutionId
from tables.ledger import Ledger
from tables.signals import Signals

Responses = dict[int | str, dict[str, Any]]

_PAGE = 50
_LARGEST_PAGE = 200
_FORM = {"pattern": f"^{ExecutionId.pattern.pattern}$"}
_FORM_OR_EMPTY = {"pattern": f"^({ExecutionId.pattern.pattern})?$"}
PROBLEMS: Responses = {
    401: {"model": Problem, "description": "No valid token."},
    422: {"model": Problem, "description": "The request cannot be accepted as it is."},
    503: {"model": Problem, "description": "The database does not answer."},
}
MISSING: Responses = {404: {"model": Problem, "description": "The organisation has no such execution."}}
REFUSED: Responses = {
    400: {"model": Problem, "description": "The body cannot be read."},
    409: {"model": Problem, "description": "The signal can change nothing about the execution."},
    413: {"model": Problem, "description": "The body is too long."},
}


def refuse_unknown_parameters(request: Request) -> None:
    """Nothing that somebody asks for is passed over in silence.

    Raises:
        Refusal: 422, the query has a parameter that the address does not know.
    """
    route: APIRoute = request.scope["route"]
    known = {parameter.alias for parameter in route.dependant.query_params}
    unknown = sorted(set(request.query_params) - known)
    if unknown:
        named = f"{unknown[0][:LONGEST_ECHO]!r} is not a parameter here"
        raise Refusal(HTTPStatus.UNPROCESSABLE_ENTITY, f"{named}; there are: {', '.join(sorted(known)) or 'none'}")


router = APIRouter(responses={**PROBLEMS, **MISSING}, dependencies=[Depends(refuse_unknown_parameters)])


def execution_id_of(execution_id: Annotated[str, Path(json_schema_extra=_FORM)], token: Token) -> ExecutionId:
    """The id in the path, once it is known who asks.

    Raises:
        Refusal: 404, as for an id that nobody has.
    """
    return _known(execution_id)


ThatExecution = Annotated[ExecutionId, Depends(execution_id_of)]


@router.get("/executions")
def list_executions(
    token: Token,
    database: OpenDatabase,
    limit: Annotated[int, Query(ge=1, le=_LARGEST_PAGE)] = _PAGE,
    before: Annotated[str, Query(json_schema_extra=_FORM_OR_EMPTY, description="`next` of the page before")] = "",
) -> ExecutionPage:
    """The organisation's executions, the newest first, page by page."""
    last = _known(before) if before else None
    # One more than is shown, to know whether there is a next page.
    found = Ledger(database, token.organization_id).list_executions(limit + 1, last)
    shown = [ExecutionView.of(state) for state in found[:limit]]
    return ExecutionPage(executions=shown, next=shown[-1].execution_id if len(found) > limit else None)


@router.get("/executions/{execution_id}")
def show_execution(execution_id: ThatExecution, token: Token, database: OpenDatabase) -> ExecutionDetail:
    """An execution as it stands, with its stages and the signals it was sent."""
    ledger, signals = Ledger(database, token.organization_id), Signals(database, token.organization_id)
    state = ledger.load(execution_id)
    return ExecutionDetail.made_of(state, ledger.load_progress(execution_id), signals.history(execution_id))


@router.post("/executions/{execution_id}/signals", status_code=HTTPStatus.CREATED, responses=REFUSED)
async def send_signal(
    execution_id: ThatExecution, signal: NewSignal, token: Token, database: OpenDatabase, request: Request
) -> SentSignal:
    """Tells an execution something: recorded for good, and acted on once, whatever dies in between."""
    signals, sender = Signals(database, token.organization_id), f"token {token.name}"
    recorded = await asyncio.to_thread(signals.send, execution_id, signal.name, signal.payload, sender)
    return SentSignal.of(await see_to(request.app.state.settings, database, token.organization_id, recorded))


def _known(text: str) -> ExecutionId:
    try:
        return ExecutionId(text)
    except InvalidId:
        raise no_such_execution(text) from None
