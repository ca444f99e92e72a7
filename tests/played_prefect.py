"""Prefect's API as far as its history is read and removed, played by a few lines."""

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from prefect.exceptions import ObjectNotFound
from prefect.states import Completed

DEPLOYMENT, OTHER_DEPLOYMENT = uuid.uuid4(), uuid.uuid4()


@dataclass
class Server:
    """What Prefect has: flow runs, and artifacts by the flow run that they belong to."""

    runs: dict[uuid.UUID, Any] = field(default_factory=dict[uuid.UUID, Any])
    artifacts: dict[uuid.UUID, Any] = field(default_factory=dict[uuid.UUID, Any])

    def add(
        self,
        state: Any = None,
        deployment: uuid.UUID = DEPLOYMENT,
        id_: str | None = None,
        ended_at: datetime | None = None,
        **parameters: str,
    ) -> uuid.UUID:
        """A flow run, completed now unless said otherwise, with an artifact."""
        run = SimpleNamespace(
            id=uuid.UUID(id_) if id_ else uuid.uuid4(),
            deployment_id=deployment,
            parameters=parameters,
            state=state or Completed(),
            end_time=ended_at or datetime.now(UTC),
        )
        artifact = SimpleNamespace(id=uuid.uuid4(), flow_run_id=run.id)
        self.runs[run.id], self.artifacts[artifact.id] = run, artifact
        return run.id

    async def read_deployments(self, **_: object) -> list[Any]:
        """One whose flow has organisations, and one whose flow has not."""
        names = {DEPLOYMENT: ("organization", "document"), OTHER_DEPLOYMENT: ("dry_run",)}
        return [
            SimpleNamespace(id=id_, parameter_openapi_schema={"properties": dict.fromkeys(parameters)})
            for id_, parameters in names.items()
        ]

    async def read_flow_runs(self, *, flow_run_filter: Any, limit: int, offset: int, **_: object) -> list[Any]:
        """A page of those of the state and age asked for."""
        state, end = flow_run_filter.state, flow_run_filter.end_time
        found = [
            run
            for run in self.runs.values()
            if (state is None or run.state.type in state.type.any_) and (end is None or run.end_time <= end.before_)
        ]
        return found[offset : offset + limit]

    async def read_artifacts(self, *, artifact_filter: Any, **_: object) -> list[Any]:
        """Those of the flow runs asked for."""
        return [each for each in self.artifacts.values() if each.flow_run_id in artifact_filter.flow_run_id.any_]

    async def delete_artifact(self, artifact_id: uuid.UUID) -> None:
        """Removes one."""
        del self.artifacts[artifact_id]

    async def delete_flow_run(self, flow_run_id: uuid.UUID) -> None:
        """Removes one, or says that it has none."""
        if self.runs.pop(flow_run_id, None) is None:
            raise ObjectNotFound(Exception("404"))

    async def set_flow_run_state(self, flow_run_id: uuid.UUID, state: Any, **_: object) -> None:
        """Cancelled at once: nobody works on it. Runs whose execution is all there is are unknown here."""
        if flow_run_id not in self.runs:
            raise ObjectNotFound(Exception("404"))
        self.runs[flow_run_id].state = SimpleNamespace(is_final=lambda: True)
