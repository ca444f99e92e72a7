"""The artifacts of a flow run: one for each key, however often it is written and by however many processes."""

from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId
from prefect.client.schemas.sorting import ArtifactSort

from knowledge.ids import ExecutionId, FlowRunId

_MOST_KEPT = 50
# Keys are what people see of artifacts first: a name, and enough of the execution's id to tell it from others.
_DIGITS = 12


class RunArtifacts:
    """Writes the artifacts of an execution's flow run. Writing one again replaces it, also in a run taken up again.

    The first writing of an artifact is an event in Prefect's feed; later ones are not, because progress is written
    often, and an event costs as much again.
    """

    def __init__(self, flow_run_id: FlowRunId, execution_id: ExecutionId) -> None:
        self._flow_run_id = UUID(flow_run_id)
        self._suffix = execution_id.partition("_")[2][:_DIGITS]
        self._known: dict[str, UUID] = {}

    async def find_earlier(self) -> None:
        """Looks for what earlier processes of the run have written."""
        mine = ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[self._flow_run_id]))
        async with get_client() as client:
            found = await client.read_artifacts(artifact_filter=mine, limit=_MOST_KEPT, sort=ArtifactSort.UPDATED_DESC)
        for artifact in reversed(found):
            if artifact.key:
                self._known[artifact.key] = artifact.id

    def has(self, name: str) -> bool:
        """Whether it was written, as far as is known here."""
        return self._key(name) in self._known

    async def put_progress(self, name: str, fraction: float, description: str) -> None:
        """A bar, full at 1.0."""
        await self._put(name, "progress", round(100 * fraction, 1), description)

    async def put_markdown(self, name: str, markdown: str, description: str) -> None:
        """A page."""
        await self._put(name, "markdown", markdown, description)

    async def _put(self, name: str, kind: str, data: str | float, description: str) -> None:
        key = self._key(name)
        async with get_client() as client:
            known = self._known.get(key)
            if known is None:
                made = await client.create_artifact(
                    ArtifactCreate(
                        type=kind, key=key, data=data, description=description, flow_run_id=self._flow_run_id
                    )
                )
                self._known[key] = made.id
            else:
                await _update(client, known, data, description)

    def _key(self, name: str) -> str:
        return f"{name}-{self._suffix}"


async def _update(client: PrefectClient, artifact_id: UUID, data: str | float, description: str) -> None:
    changes = {"data": data, "description": description}
    response = await client.request("PATCH", "/artifacts/{id}", path_params={"id": artifact_id}, json=changes)
    response.raise_for_status()
