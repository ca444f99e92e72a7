"""What properties lead to: classes or literals, whatever they are declared as."""

from collections.abc import Mapping

from pyoxigraph import NamedNode

from knowledge.ontology import vocabulary as v
from knowledge.ontology.names import local_name, words_of
from knowledge.ontology.terms import PropertyKind
from knowledge.ontology.triples import Triples


class RangeReader:
    """Decides each property's kind and ranges.

    Many ontologies declare every property an owl:ObjectProperty and let some lead to "classes" such as
    `ex:string` or `ex:Date`. Such a name means a datatype unless the ontology treats it as a real class, with
    properties or a superclass of its own. A property without any range is taken at its declaration's word,
    except that one whose last word is "date" or "year" leads to one.
    """

    def __init__(
        self,
        triples: Triples,
        super_properties: Mapping[str, set[str]],
        super_classes: Mapping[str, set[str]],
        domains: set[str],
    ) -> None:
        self._triples = triples
        self._super_properties = super_properties
        self._real_classes = domains | {
            iri for iri, above in super_classes.items() if any(_is_real_class(parent) for parent in above)
        }
        self._data_types = {node.value for node in triples.subjects_of_type(v.RDFS + "Datatype")}
        self._stated = {iri: self._statement(iri) for iri in super_properties}
        ranges = set[str]().union(*(classes | literals for classes, literals, _ in self._stated.values()))
        self.classes = set[str]().union(*(classes for classes, _, _ in self._stated.values()))
        self.literal_classes = {iri for iri in ranges | self._data_types if self._datatype(iri) is not None}

    def of(self, iri: str) -> tuple[PropertyKind, set[str]]:
        """A property's kind, and its ranges as far as they are of that kind; inherited when it has none."""
        classes, literals, _ = self._stated[iri]
        kind = self._kind(iri, frozenset())
        if kind is PropertyKind.OBJECT:
            return kind, classes
        stated = {datatype for literal in literals if (datatype := self._datatype(literal))}
        return kind, stated or self._named_datatype(iri)

    def _kind(self, iri: str, seen: frozenset[str]) -> PropertyKind:
        classes, literals, types = self._stated[iri]
        if classes:
            return PropertyKind.OBJECT
        if literals or _is_declared_literal(types):
            return PropertyKind.DATATYPE
        inherited = {self._kind(above, seen | {iri}) for above in self._super_properties[iri] - seen if above != iri}
        if not types & v.OBJECT_PROPERTY_TYPES and len(inherited) == 1:
            return inherited.pop()
        says_anything = self._expressed(iri) or PropertyKind.OBJECT in inherited
        return PropertyKind.DATATYPE if not says_anything and self._named_datatype(iri) else PropertyKind.OBJECT

    def _statement(self, iri: str) -> tuple[set[str], set[str], set[str]]:
        """The class ranges, the literal ranges, and the declared types."""
        types = self._triples.iris(NamedNode(iri), v.TYPE)
        stated = self._expressed(iri)
        literals = {value for value in stated if self._datatype(value) is not None}
        if _is_declared_literal(types):
            return set(), literals, types
        return {value for value in stated - literals if not v.is_bookkeeping(value)}, literals, types

    def _expressed(self, iri: str) -> set[str]:
        values = self._triples.objects(NamedNode(iri), *v.RANGES)
        return set[str]().union(*(self._triples.members(value) for value in values))

    def _datatype(self, iri: str) -> str | None:
        if standard := v.datatype_of(iri):
            return standard
        if iri in self._real_classes or v.is_bookkeeping(iri):
            return None
        return v.datatype_named(local_name(iri)) or (v.XSD + "string" if iri in self._data_types else None)

    def _named_datatype(self, iri: str) -> set[str]:
        """What the property's name says it leads to: `publication date` or `foundingYear`."""
        labels = self._triples.labels(NamedNode(iri), *v.NAMES)
        words = words_of(labels[0].text if labels else iri).lower().split()
        return {v.XSD + {"date": "date", "year": "gYear"}[words[-1]]} if words[-1:] in (["date"], ["year"]) else set()


def _is_real_class(iri: str) -> bool:
    return not v.is_bookkeeping(iri) and v.datatype_named(local_name(iri)) is None


def _is_declared_literal(types: set[str]) -> bool:
    return v.OWL + "DatatypeProperty" in types and not types & v.OBJECT_PROPERTY_TYPES
