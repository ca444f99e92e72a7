"""Ontologies: the classes and properties that an extraction may use, read from OWL or RDFS.

`load_ontology` reads a file's bytes; `Ontology` answers what the stages ask of it. Imports (`owl:imports`)
are not followed: what an extraction may use is what the one file says.
"""

from knowledge.ontology.loading import load_ontology, ontology_quads
from knowledge.ontology.model import Ontology
from knowledge.ontology.terms import Label, OntologyClass, OntologyProperty, PropertyKind

__all__ = ["Label", "Ontology", "OntologyClass", "OntologyProperty", "PropertyKind", "load_ontology", "ontology_quads"]
