"""What Prefect's server does with requests of workers and flow processes beside what they ask for.

A state is set three times a run, and each time the server loaded the run's queue, pool, deployment and schedules, of
which the rules of states read one column. To read a run took four statements. Each look for runs noted in transactions
of their own that somebody looked. The statement that stores logs was built, compiled and prepared anew for each number
of logs.
"""

import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from prefect.server.api import workers
from prefect.server.database import provide_database_interface
from prefect.server.logs import messaging
from prefect.server.models import deployments, flow_runs
from prefect.server.models import logs as stored_logs
from prefect.server.schemas.actions import LogCreate
from prefect.server.schemas.core import Log
from sqlalchemy import bindparam, select
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import immediateload, joinedload, raiseload

NOTED_SECONDS = 10.0
"""How old what the server has on record of a worker's last look may be. It takes who has not looked for a minute for
gone."""
_sets_a_state: ContextVar[bool] = ContextVar("_sets_a_state", default=False)


def spare_requests(routes: Iterable[Any]) -> None:
    """Have Prefect's server load for a change of state what its rules read, and note looks for runs now and then."""
    _join_pools()
    _load_less_for_states()
    module: Any = stored_logs
    module.create_logs = _create_logs
    for route in routes:
        if route.dependant.call is workers.get_scheduled_flow_runs:
            route.dependant.call = _noting_seldom(workers.get_scheduled_flow_runs)


def _join_pools() -> None:
    """A queue is never loaded without its pool: by one statement instead of two."""
    pool: Any = provide_database_interface().WorkQueue.__mapper__.relationships["work_pool"]
    pool.lazy = "joined"
    pool.strategy_key = (("lazy", "joined"),)
    pool.strategy = pool._get_strategy(pool.strategy_key)


def _load_less_for_states() -> None:
    states: Any = flow_runs
    set_state = states.set_flow_run_state

    async def set_flow_run_state(*arguments: Any, **options: Any) -> Any:
        # Who creates a run sets its first state without a policy, and shows the run with its queue afterwards.
        token = _sets_a_state.set(options.get("flow_policy") is not None)
        try:
            return await set_state(*arguments, **options)
        finally:
            _sets_a_state.reset(token)

    db = provide_database_interface()
    run: Any = select(db.FlowRun).where(db.FlowRun.id == bindparam("flow_run_id"))
    # Who waits for a row that is being changed gets the new one, but what was joined to the old one.
    locked = run.with_for_update()
    model: Any = db.FlowRun
    to_read = run.options(joinedload(model._state), joinedload(model.work_queue))
    to_create = locked.options(immediateload(db.FlowRun.work_queue))
    to_set_state = locked.options(raiseload(db.FlowRun.work_queue))

    async def read_flow_run(session: AsyncSession, flow_run_id: UUID, for_update: bool = False) -> Any:
        query = to_read if not for_update else to_set_state if _sets_a_state.get() else to_create
        return (await session.execute(query, {"flow_run_id": flow_run_id})).scalar()

    with_queue = (joinedload(db.Deployment.work_queue),)
    for_states = (raiseload(db.Deployment.work_queue), raiseload(db.Deployment.schedules))

    async def read_a_deployment(session: AsyncSession, deployment_id: UUID) -> Any:
        options = for_states if _sets_a_state.get() else with_queue
        return await session.get(db.Deployment, deployment_id, options=options)

    states.set_flow_run_state = set_flow_run_state
    states.read_flow_run = read_flow_run
    module: Any = deployments
    module.read_deployment = read_a_deployment


async def _create_logs(session: AsyncSession, logs: Sequence[LogCreate]) -> None:
    """As Prefect's, with one statement for any number of logs."""
    module: Any = stored_logs
    db = provide_database_interface()
    full = [Log(**module._sanitize_log_strings(log).model_dump()) for log in logs]
    rows = [log.model_dump(exclude={"created", "updated"}) for log in full]
    await session.execute(db.queries.insert(db.Log).execution_options(dml_strategy="raw"), rows)
    await messaging.publish_logs(full)


def _noting_seldom(look: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    noted: dict[str, tuple[float, object]] = {}

    async def get_scheduled_flow_runs(*, docket: Any, **asked: Any) -> Any:
        return await look(docket=_Seldom(docket, noted), **asked)

    return get_scheduled_flow_runs


class _Seldom:
    """A docket that takes a task again only after a while, unless it is about something else."""

    def __init__(
        self, docket: Any, noted: dict[str, tuple[float, object]], monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._docket = docket
        self._noted = noted
        self._monotonic = monotonic

    def add(self, task: Any, *, key: str) -> Callable[..., Awaitable[None]]:
        async def schedule(**about: Any) -> None:
            at, before = self._noted.get(key, (0.0, None))
            if before != about or self._monotonic() - at >= NOTED_SECONDS:
                await self._docket.add(task, key=key)(**about)
                self._noted[key] = (self._monotonic(), about)

        return schedule
