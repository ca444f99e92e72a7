"""What an ontology implies: sub-classes, sub-properties, inverse, symmetric and transitive properties.

Forward chaining, each fact once. The rules are
those of RDFS (rdfs5, 7, 9, 11) and OWL 2 RL (prp-inv1, prp-inv2, prp-symp, prp-trp) for these terms.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from pyoxigraph import BlankNode, Literal, NamedNode, Quad

Node = NamedNode | BlankNode
Term = Node | Literal
Fact = tuple[Node, NamedNode, Term]

_RDF, _RDFS, _OWL = (
    "http://www.w3.org/1999/02/22-rdf-syntax-ns#",
    "http://www.w3.org/2000/01/rdf-schema#",
    "http://www.w3.org/2002/07/owl#",
)
TYPE = NamedNode(_RDF + "type")
_SUB_CLASS = NamedNode(_RDFS + "subClassOf")
_SUB_PROPERTY = NamedNode(_RDFS + "subPropertyOf")
_EQUIVALENT_CLASS = NamedNode(_OWL + "equivalentClass")
_EQUIVALENT_PROPERTY = NamedNode(_OWL + "equivalentProperty")
_INVERSE = NamedNode(_OWL + "inverseOf")
_SYMMETRIC = NamedNode(_OWL + "SymmetricProperty")
_TRANSITIVE = NamedNode(_OWL + "TransitiveProperty")


class TooMuchInferredError(Exception):
    """More follows than the bound allows."""


@dataclass(slots=True)
class Axioms:
    """What the ontologies say about classes and properties, closed under sub-class and sub-property."""

    classes: dict[Term, set[Term]] = field(default_factory=dict[Term, set[Term]])
    properties: dict[Term, set[Term]] = field(default_factory=dict[Term, set[Term]])
    inverses: dict[Term, set[Term]] = field(default_factory=dict[Term, set[Term]])
    symmetric: set[Term] = field(default_factory=set[Term])
    transitive: set[Term] = field(default_factory=set[Term])

    @classmethod
    def of(cls, ontology: Iterable[Quad]) -> "Axioms":
        """The axioms among the statements; others, and those about anonymous classes, are passed over."""
        above: dict[NamedNode, defaultdict[Term, set[Term]]] = {
            relation: defaultdict(set) for relation in (_SUB_CLASS, _SUB_PROPERTY, _INVERSE)
        }
        found = cls()
        for quad in ontology:
            s, p, o = quad.subject, quad.predicate, quad.object
            if not isinstance(s, NamedNode) or not isinstance(o, NamedNode):
                continue
            if p in above:
                above[p][s].add(o)
            if p == _INVERSE:
                above[_INVERSE][o].add(s)
            for same, relation in ((_EQUIVALENT_CLASS, _SUB_CLASS), (_EQUIVALENT_PROPERTY, _SUB_PROPERTY)):
                if p == same:
                    above[relation][s].add(o)
                    above[relation][o].add(s)
            if p == TYPE and o == _SYMMETRIC:
                found.symmetric.add(s)
            if p == TYPE and o == _TRANSITIVE:
                found.transitive.add(s)
        found.classes = {term: _closure(term, above[_SUB_CLASS]) for term in list(above[_SUB_CLASS])}
        found.properties = {term: _closure(term, above[_SUB_PROPERTY]) for term in list(above[_SUB_PROPERTY])}
        found.inverses = dict(above[_INVERSE])
        return found


def infer(facts: Iterable[Fact], axioms: Axioms, limit: int) -> set[Fact]:
    """What follows from the facts and is not among them.

    Raises:
        TooMuchInferredError: more than `limit` facts follow.
    """
    known = set(facts)
    given = len(known)
    ahead: defaultdict[tuple[Term, Term], set[Term]] = defaultdict(set)
    behind: defaultdict[tuple[Term, Term], set[Node]] = defaultdict(set)
    asserted = frozenset(known)
    waiting = list(known)
    while waiting:
        fact = waiting.pop()
        s, p, o = fact
        if p in axioms.transitive:
            ahead[p, s].add(o)
            behind[p, o].add(s)
        for new in _follows(fact, axioms, ahead, behind):
            if new not in known:
                known.add(new)
                waiting.append(new)
                if len(known) - given > limit:
                    raise TooMuchInferredError(f"more than {limit} facts follow from the ontology")
    return known - asserted


def _follows(
    fact: Fact,
    axioms: Axioms,
    ahead: dict[tuple[Term, Term], set[Term]],
    behind: dict[tuple[Term, Term], set[Node]],
) -> Iterator[Fact]:
    s, p, o = fact
    if p == TYPE:
        yield from ((s, TYPE, parent) for parent in axioms.classes.get(o, ()))
    yield from ((s, parent, o) for parent in axioms.properties.get(p, ()) if isinstance(parent, NamedNode))
    if isinstance(o, Literal):
        return
    yield from ((o, other, s) for other in axioms.inverses.get(p, ()) if isinstance(other, NamedNode))
    if p in axioms.symmetric:
        yield (o, p, s)
    if p in axioms.transitive:
        yield from ((s, p, farther) for farther in list(ahead.get((p, o), ())))
        yield from ((nearer, p, o) for nearer in list(behind.get((p, s), ())))


def _closure(term: Term, above: dict[Term, set[Term]]) -> set[Term]:
    found: set[Term] = set()
    todo = list(above.get(term, ()))
    while todo:
        current = todo.pop()
        if current not in found:
            found.add(current)
            todo.extend(above.get(current, ()))
    return found - {term}
