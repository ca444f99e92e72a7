"""What an export is made of."""

from dataclasses import dataclass
from datetime import datetime

from knowledge.domain import Document, KnowledgeGraph
from knowledge.ids import ExecutionId
from knowledge.linking import EntityLink
from knowledge.ontology import Ontology


@dataclass(frozen=True, slots=True)
class GraphExport:
    """A graph, the document and ontology it comes from, and the execution that made it, if one did.

    `started_at` and `ended_at` are the execution's; times without a zone are taken for UTC. `links` are those of its
    entities to entities of other documents that hold.
    """

    document: Document
    ontology: Ontology
    graph: KnowledgeGraph
    execution_id: ExecutionId | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    links: tuple[EntityLink, ...] = ()

    def class_label(self, iri: str) -> str:
        """What people call a class; its IRI when the ontology does not have it."""
        found = self.ontology.get_class(iri)
        return found.label if found is not None else iri

    def property_label(self, iri: str) -> str:
        """What people call a predicate; its IRI when the ontology does not have it."""
        found = self.ontology.get_property(iri)
        return found.label if found is not None else iri
