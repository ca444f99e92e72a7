"""From triples to terms: which resources are classes and properties, and what they lead to."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from pyoxigraph import NamedNode

from knowledge.ontology import vocabulary as v
from knowledge.ontology.model import Ontology
from knowledge.ontology.names import unique_names, words_of
from knowledge.ontology.ranges import RangeReader
from knowledge.ontology.terms import Label, OntologyClass, OntologyProperty
from knowledge.ontology.triples import Triples


def read_ontology(triples: Triples, name: str) -> Ontology:
    """The ontology that the triples state; `name` is its label when it has no title of its own."""
    reader = _Reader(triples)
    iri = min((node.value for node in triples.subjects_of_type(v.OWL + "Ontology")), default="")
    titles = triples.labels(NamedNode(iri), *v.TITLES) if iri else []
    title = titles[0].text if titles else ""
    return Ontology.of(iri, title or name, reader.classes(), reader.properties(), title=title)


class _Reader:
    """Collects the terms of one ontology; bookkeeping, annotation and deprecated terms are left out."""

    def __init__(self, triples: Triples) -> None:
        self._triples = triples
        self._left_out = self._deprecated()
        self._property_iris = self._find_properties()
        self._super_properties = {
            iri: self._known(v.SUB_PROPERTY_OF, iri, self._property_iris) for iri in self._property_iris
        }
        self._super_classes = self._find_hierarchy()
        self._domains = {iri: self._without_bookkeeping(self._expressed(iri, v.DOMAINS)) for iri in self._property_iris}
        self._ranges = RangeReader(
            triples, self._super_properties, self._super_classes, set[str]().union(*self._domains.values())
        )
        self._class_iris = self._find_classes()

    def classes(self) -> tuple[OntologyClass, ...]:
        """The classes, declared or used as one."""
        labels = {iri: self._labels(iri) for iri in self._class_iris}
        names = _names(labels)
        return tuple(
            OntologyClass(iri, names[iri], labels[iri], self._comment(iri), self._parents(iri))
            for iri in self._class_iris
        )

    def properties(self) -> tuple[OntologyProperty, ...]:
        """The object and datatype properties."""
        labels = {iri: self._labels(iri) for iri in self._property_iris}
        names = _names(labels)
        inverses = self._inverses()
        return tuple(self._property(iri, names[iri], labels[iri], inverses.get(iri)) for iri in self._property_iris)

    def _property(self, iri: str, name: str, labels: tuple[Label, ...], inverse_of: str | None) -> OntologyProperty:
        types = self._triples.iris(NamedNode(iri), v.TYPE)
        kind, ranges = self._ranges.of(iri)
        return OntologyProperty(
            iri,
            name,
            kind,
            labels,
            self._comment(iri),
            tuple(sorted(self._domains[iri])),
            tuple(sorted(ranges - self._left_out)),
            tuple(sorted(self._super_properties[iri])),
            inverse_of,
            v.OWL + "SymmetricProperty" in types,
            v.OWL + "FunctionalProperty" in types,
        )

    def _find_properties(self) -> tuple[str, ...]:
        declared = {node.value for node in self._triples.subjects_of_type(*v.PROPERTY_TYPES)}
        used = {
            node.value
            for predicate in (*v.DOMAINS, *v.RANGES)
            for node in self._triples.subjects(predicate)
            if isinstance(node, NamedNode)
        }
        plain = {v.RDF + "Property", v.OWL + "FunctionalProperty"}
        annotations = {
            node.value
            for node in self._triples.subjects_of_type(*v.BOOKKEEPING_PROPERTY_TYPES)
            if not self._triples.iris(node, v.TYPE) & (v.PROPERTY_TYPES - plain)
        }
        return tuple(sorted(self._without_bookkeeping((declared | used) - annotations)))

    def _find_hierarchy(self) -> Mapping[str, set[str]]:
        """Class IRI to its direct named superclasses, also those said by intersections and unions."""
        parents: defaultdict[str, set[str]] = defaultdict(set)
        both = (v.OWL + "intersectionOf",)
        for predicate in (v.SUB_CLASS_OF, v.OWL + "equivalentClass", *both):
            for node in self._triples.subjects(predicate):
                for value in self._triples.objects(node, predicate) if isinstance(node, NamedNode) else ():
                    if predicate != v.OWL + "equivalentClass" or not isinstance(value, NamedNode):
                        parents[node.value] |= self._triples.members(value, through=both)
        return {iri: above - {iri} for iri, above in parents.items() if not v.is_bookkeeping(iri)}

    def _find_classes(self) -> tuple[str, ...]:
        declared = {node.value for node in self._triples.subjects_of_type(*v.CLASS_TYPES)}
        super_classes = set[str]().union(*self._super_classes.values())
        used = super_classes.union(self._super_classes, *self._domains.values(), self._ranges.classes)
        return tuple(sorted(self._without_bookkeeping(declared | used) - self._ranges.literal_classes))

    def _parents(self, iri: str) -> tuple[str, ...]:
        """The superclasses, where one that is left out hands on its own."""
        found: set[str] = set()
        seen = {iri}
        waiting = list(self._super_classes.get(iri, ()))
        while waiting:
            parent = waiting.pop()
            if parent in self._left_out and parent not in seen:
                waiting += self._super_classes.get(parent, ())
            elif parent not in self._left_out and not v.is_bookkeeping(parent):
                found.add(parent)
            seen.add(parent)
        return tuple(sorted(found - {iri} - self._ranges.literal_classes))

    def _inverses(self) -> dict[str, str]:
        pairs = {
            pair
            for iri in self._property_iris
            for other in self._known(v.OWL + "inverseOf", iri, self._property_iris)
            for pair in ((iri, other), (other, iri))
        }
        return dict(sorted(pairs, reverse=True))

    def _known(self, predicate: str, iri: str, known: Iterable[str]) -> set[str]:
        return self._triples.iris(NamedNode(iri), predicate).intersection(known) - {iri}

    def _expressed(self, iri: str, predicates: tuple[str, ...]) -> set[str]:
        values = self._triples.objects(NamedNode(iri), *predicates)
        return set[str]().union(*(self._triples.members(value) for value in values))

    def _without_bookkeeping(self, iris: set[str]) -> set[str]:
        return {iri for iri in iris - self._left_out if not v.is_bookkeeping(iri)}

    def _deprecated(self) -> set[str]:
        flagged = (
            node
            for node in self._triples.subjects(v.OWL + "deprecated")
            if isinstance(node, NamedNode) and self._triples.says(node, v.OWL + "deprecated")
        )
        return {node.value for node in (*flagged, *self._triples.subjects_of_type(*v.DEPRECATED_TYPES))}

    def _labels(self, iri: str) -> tuple[Label, ...]:
        preferred = self._triples.labels(NamedNode(iri), *v.NAMES)
        others = {*preferred[1:], *self._triples.labels(NamedNode(iri), *v.OTHER_NAMES)} - {*preferred[:1]}
        return (*preferred[:1], *sorted(others))

    def _comment(self, iri: str) -> str:
        comments = self._triples.labels(NamedNode(iri), *v.COMMENTS)
        return comments[0].text if comments else ""


def _names(labels: Mapping[str, tuple[Label, ...]]) -> dict[str, str]:
    preferred = {iri: own[0].text if own else words_of(iri) for iri, own in labels.items()}
    return unique_names(preferred, {iri for iri, own in labels.items() if own})
