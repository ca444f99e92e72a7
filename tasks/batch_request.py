"""What a batch is asked for, as parameters of a flow and as the batch that they mean."""

from dataclasses import dataclass

from knowledge.batches import Batch, FailurePolicy, batch_id_of
from knowledge.documents import document_name
from knowledge.ids import OntologyId, OrganizationId
from knowledge.pipeline import ExtractionOptions
from knowledge.settings import Settings
from tasks.locations import allowed_path, is_url
from tasks.sources import Sources

DEPLOYMENT = "extraction-batch/default"


@dataclass(frozen=True, slots=True)
class BatchRequest:
    """What a batch is asked for."""

    organization_id: OrganizationId
    sources: tuple[str, ...]
    ontology: str
    options: ExtractionOptions
    max_in_flight: int
    on_failure: FailurePolicy
    retract_missing: bool = False
    quiet_seconds: float = 0.0

    def batch(self, settings: Settings) -> Batch:
        """The batch that this asks for.

        Raises:
            LocationRefused: a source or the ontology lies where this installation may not read.
        """
        sources = Sources(settings.documents).canonical(self.sources)
        ontology = self.ontology
        if not (is_url(ontology) or ontology.startswith(f"{OntologyId.prefix}_")):
            ontology = str(allowed_path(ontology, settings.documents))
        return Batch(
            id=batch_id_of(self.organization_id, sources, ontology),
            organization_id=self.organization_id,
            name=_name_of(sources),
            sources=sources,
            ontology=ontology,
            options=self.options.model_dump(mode="json"),
            max_in_flight=self.max_in_flight,
            on_failure=self.on_failure,
            retract_missing=self.retract_missing,
            quiet_seconds=self.quiet_seconds,
        )


def batch_parameters(batch: Batch) -> dict[str, object]:
    """The parameters of `extraction-batch/default` that ask for the batch."""
    return {
        "sources": list(batch.sources),
        "ontology": batch.ontology,
        "organization": batch.organization_id,
        "options": dict(batch.options),
        "max_in_flight": batch.max_in_flight,
        "on_failure": batch.on_failure.value,
        "retract_missing": batch.retract_missing,
        "quiet_seconds": batch.quiet_seconds,
    }


def _name_of(sources: tuple[str, ...]) -> str:
    first = document_name(sources[0])
    return first if len(sources) == 1 else f"{first} and {len(sources) - 1} more"
