"""An ontology file's triples, indexed, with the few questions that reading one takes."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from pyoxigraph import BlankNode, Literal, NamedNode, Quad

from knowledge.ontology import vocabulary as v
from knowledge.ontology.terms import Label

Node = NamedNode | BlankNode

_FIRST, _REST = v.RDF + "first", v.RDF + "rest"
# A restriction on a class or datatype says less than naming it, but this much of it can be used.
_ALTERNATIVES = (v.OWL + "unionOf", v.OWL + "intersectionOf", v.OWL + "onDatatype", v.OWL + "oneOf")


class Triples:
    """Triples by predicate and subject, in the order of the file."""

    def __init__(self, quads: Iterable[Quad]) -> None:
        self._objects: defaultdict[str, dict[Node, list[Node | Literal]]] = defaultdict(dict)
        for quad in quads:
            subject, value = quad.subject, quad.object
            if isinstance(subject, Node) and isinstance(value, Node | Literal):
                self._objects[quad.predicate.value].setdefault(subject, []).append(value)

    def objects(self, subject: Node, *predicates: str) -> Iterator[Node | Literal]:
        """What the subject leads to by these predicates, in their order."""
        for predicate in predicates:
            yield from self._objects[predicate].get(subject, ())

    def iris(self, subject: Node, *predicates: str) -> set[str]:
        """The named resources among `objects`."""
        return {value.value for value in self.objects(subject, *predicates) if isinstance(value, NamedNode)}

    def subjects(self, predicate: str) -> Iterator[Node]:
        """Everything that has the predicate."""
        return iter(self._objects[predicate])

    def subjects_of_type(self, *types: str) -> Iterator[NamedNode]:
        """The named resources of one of these types."""
        wanted = {NamedNode(kind) for kind in types}
        for subject, kinds in self._objects[v.TYPE].items():
            if isinstance(subject, NamedNode) and not wanted.isdisjoint(kinds):
                yield subject

    def members(self, value: Node | Literal, *, through: tuple[str, ...] = _ALTERNATIVES) -> set[str]:
        """The IRIs that a class or datatype expression is made of: itself, or the members of its lists.

        A list of literals stands for their datatypes.
        """
        found: set[str] = set()
        seen: set[Node] = set()
        waiting = [value]
        while waiting:
            current = waiting.pop()
            if isinstance(current, NamedNode):
                found.add(current.value)
            elif isinstance(current, Literal):
                found.add(current.datatype.value)
            elif current not in seen:
                seen.add(current)
                waiting += self.objects(current, *through, _FIRST, _REST)
        return found - {v.RDF + "nil"}

    def labels(self, subject: Node, *predicates: str) -> list[Label]:
        """The literals under these predicates, the most telling first: English, then without language."""
        found = [
            (rank, Label(" ".join(value.value.split()), _language(value)))
            for rank, predicate in enumerate(predicates)
            for value in self.objects(subject, predicate)
            if isinstance(value, Literal) and value.value.strip()
        ]
        ordered = sorted(found, key=lambda item: (_preference(item[1].language), item[0], item[1]))
        return list(dict.fromkeys(label for _, label in ordered))

    def says(self, subject: Node, predicate: str) -> bool:
        """Whether the subject has the predicate with the value true."""
        return any(
            isinstance(value, Literal) and value.value in {"true", "1"} for value in self.objects(subject, predicate)
        )


def _language(literal: Literal) -> str:
    return (literal.language or "").lower()


def _preference(language: str) -> tuple[int, str]:
    if language == "en":
        return (0, "")
    if language.startswith("en-"):
        return (1, language)
    return (3, language) if language else (2, "")
