"""Whether the window can answer, for whoever watches over it. It needs no token, and says nothing about anybody."""

from typing import Literal

from fastapi import APIRouter, Depends
from pydantic import BaseModel
from sqlalchemy import select

from deployments.window.access import OpenDatabase
from deployments.window.executions import PROBLEMS, refuse_unknown_parameters


class Health(BaseModel):
    """How the window is."""

    status: Literal["ok"] = "ok"


router = APIRouter(
    responses={status: PROBLEMS[status] for status in (422, 503)}, dependencies=[Depends(refuse_unknown_parameters)]
)


@router.get("/health")
def show_health(database: OpenDatabase) -> Health:
    """That the window is here and the database answers; 503 while it does not."""
    with database.operator_session() as session:
        session.execute(select(1))
    return Health()
