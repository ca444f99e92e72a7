"""What a run keeps on its machine for a successor of its process, and removes at its end."""

from dataclasses import dataclass
from pathlib import Path

from knowledge.ids import FlowRunId, OrganizationId
from knowledge.settings import Settings


@dataclass(frozen=True, slots=True)
class Keepsakes:
    """Files of one flow run below `KNOWLEDGE_HOME/runs`: answers not stored yet, and the leases it holds.

    They spare a resumed run money and waiting; nothing is lost with them.
    """

    answers: Path
    leases: Path

    @classmethod
    def of(cls, settings: Settings, organization_id: OrganizationId, flow_run_id: FlowRunId) -> "Keepsakes":
        """The run's files, whether they exist or not."""
        directory = cls.directory(settings, organization_id)
        return cls(directory / f"{flow_run_id}.answers", directory / f"{flow_run_id}.leases.json")

    @staticmethod
    def directory(settings: Settings, organization_id: OrganizationId) -> Path:
        """Where all of an organisation's are, whether it exists or not."""
        return settings.home.expanduser().absolute() / "runs" / organization_id

    def remove(self) -> None:
        """Removes what there is."""
        self.answers.unlink(missing_ok=True)
        self.leases.unlink(missing_ok=True)
