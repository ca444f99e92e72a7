"""An ontology as one value that answers questions about its terms."""

import json
from dataclasses import asdict, dataclass
from typing import Self

from knowledge.ids import digest_of
from knowledge.ontology.index import TermIndex
from knowledge.ontology.terms import OntologyClass, OntologyProperty


class _Indexed:
    """Room for look-ups outside the dataclass's fields: they take no part in equality, copies or pickles."""

    __slots__ = ("_class_index", "_property_index")

    _class_index: TermIndex[OntologyClass]
    _property_index: TermIndex[OntologyProperty]


@dataclass(frozen=True, slots=True)
class Ontology(_Indexed):
    """Classes and properties sorted by IRI. `digest` (64 hex digits) changes with their meaning, not with layout.

    `label` is for people: the ontology's own title, else the name under which it was loaded.
    """

    iri: str
    label: str
    digest: str
    classes: tuple[OntologyClass, ...]
    properties: tuple[OntologyProperty, ...]

    @classmethod
    def of(
        cls,
        iri: str,
        label: str,
        classes: tuple[OntologyClass, ...],
        properties: tuple[OntologyProperty, ...],
        *,
        title: str = "",
    ) -> Self:
        """The ontology of these terms. The digest is taken over them, `iri` and `title`, but not `label`."""
        classes = tuple(sorted(classes, key=lambda term: term.iri))
        properties = tuple(sorted(properties, key=lambda term: term.iri))
        content = json.dumps([iri, title, [asdict(t) for t in classes], [asdict(t) for t in properties]])
        return cls(iri, label, digest_of(content), classes, properties)

    def class_of(self, text: str) -> str | None:
        """The IRI of the class that `text` names, or none when no class or more than one answers to it.

        Understands IRIs, unique names, labels in any language, local names and prefixed names such as
        `ex:Film`; case, spaces, underscores and camel case make no difference.
        """
        return self._classes.resolve(text)

    def property_of(self, text: str) -> str | None:
        """The IRI of the property that `text` names, understood as in `class_of`."""
        return self._properties.resolve(text)

    def get_class(self, iri: str) -> OntologyClass | None:
        """The class with this IRI."""
        return self._classes.by_iri.get(iri)

    def get_property(self, iri: str) -> OntologyProperty | None:
        """The property with this IRI."""
        return self._properties.by_iri.get(iri)

    def ancestors(self, class_iri: str) -> tuple[str, ...]:
        """The IRIs of all superclasses, nearest first, without the class itself even in a circle."""
        return self._classes.ancestors(class_iri)

    def is_a(self, class_iri: str, ancestor_iri: str) -> bool:
        """Whether the class is the other one or below it."""
        return class_iri == ancestor_iri or ancestor_iri in self._classes.ancestors(class_iri)

    def effective_domains(self, prop: OntologyProperty) -> tuple[str, ...]:
        """The property's domains, else those of its nearest super-property that has some."""
        return next((p.domains for p in self._with_super_properties(prop) if p.domains), ())

    def effective_ranges(self, prop: OntologyProperty) -> tuple[str, ...]:
        """The property's ranges, else those of its nearest super-property of the same kind that has some."""
        candidates = (p for p in self._with_super_properties(prop) if p.kind is prop.kind)
        return next((p.ranges for p in candidates if p.ranges), ())

    def _with_super_properties(self, prop: OntologyProperty) -> tuple[OntologyProperty, ...]:
        if not prop.parents:
            return (prop,)
        above = (self.get_property(iri) for iri in self._properties.ancestors(prop.iri))
        return (prop, *(found for found in above if found is not None))

    @property
    def _classes(self) -> TermIndex[OntologyClass]:
        if not hasattr(self, "_class_index"):
            object.__setattr__(self, "_class_index", TermIndex(self.classes))
        return self._class_index

    @property
    def _properties(self) -> TermIndex[OntologyProperty]:
        if not hasattr(self, "_property_index"):
            object.__setattr__(self, "_property_index", TermIndex(self.properties))
        return self._property_index
