"""Ontologies: the classes and properties that an extraction may use, read from OWL or RDFS."""

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True, order=True)
class Label:
    """A human-readable name; `language` is a lower-case BCP 47 tag, or empty."""

    text: str
    language: str = ""


class PropertyKind(StrEnum):
    """What a property leads to: another entity, or a literal."""

    OBJECT = "object"
    DATATYPE = "datatype"


@dataclass(frozen=True, slots=True)
class OntologyClass:
    """A class. `parents` are the IRIs of its named superclasses; `name` is unique in its ontology."""

    iri: str
    name: str
    labels: tuple[Label, ...]
    comment: str
    parents: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OntologyProperty:
    """A property. Several `domains` or `ranges` are alternatives (a union); none means unrestricted.

    `ranges` are class IRIs for object properties and datatype IRIs for datatype properties.
    `name` is unique in its ontology.
    """

    iri: str
    name: str
    kind: PropertyKind
    labels: tuple[Label, ...]
    comment: str
    domains: tuple[str, ...]
    ranges: tuple[str, ...]
    parents: tuple[str, ...]
    inverse_of: str | None = None
    symmetric: bool = False
    functional: bool = False


@dataclass(frozen=True, slots=True)
class Ontology:
    """Classes and properties sorted by IRI. `digest` (64 hex digits) changes with their meaning, not with layout."""

    iri: str
    label: str
    digest: str
    classes: tuple[OntologyClass, ...]
    properties: tuple[OntologyProperty, ...]
