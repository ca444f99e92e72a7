"""The terms of an ontology as values."""

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
    """A class. `parents` are the IRIs of its named superclasses; `name` is unique among its ontology's classes.

    `labels` has the preferred one first, then the others sorted; none when the ontology gives no label.
    """

    iri: str
    name: str
    labels: tuple[Label, ...]
    comment: str
    parents: tuple[str, ...]

    @property
    def label(self) -> str:
        """What people call the class: the preferred label, which other classes may share."""
        return self.labels[0].text if self.labels else self.name


@dataclass(frozen=True, slots=True)
class OntologyProperty:
    """A property. Several `domains` or `ranges` are alternatives (a union); none means unrestricted.

    `ranges` are class IRIs for object properties and datatype IRIs for datatype properties.
    `name` is unique among its ontology's properties; `labels` has the preferred one first.
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

    @property
    def label(self) -> str:
        """What people call the property: the preferred label, which other properties may share."""
        return self.labels[0].text if self.labels else self.name
