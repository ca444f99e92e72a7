"""Prefect's scheduler, mended where its version and SQLAlchemy's do not fit.

Prefect 3.8 makes the runs of a schedule by a bulk insert whose rows have a key `state` besides their columns. The
hybrid attribute of that name lets SQLAlchemy 2.1 refuse them, where 2.0 paid no attention: no schedule ever ran.
"""

from collections.abc import MutableMapping
from typing import Any, cast

from prefect.server.database import orm_models
from sqlalchemy.ext.hybrid import hybrid_property


def let_schedules_insert() -> None:
    """Has bulk inserts pay no attention to the state of flow runs, which has a table of its own."""
    state = cast(hybrid_property[Any], vars(orm_models.FlowRun)["state"])
    if getattr(state, "bulk_dml_setter", _leave) is None:
        state.bulk_dml_setter = _leave


def _leave(cls: Any, mapping: MutableMapping[str, Any], value: Any) -> None:
    """Prefect's own next statement inserts it."""
