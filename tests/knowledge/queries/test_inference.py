"""What an ontology implies."""

import pytest
from pyoxigraph import NamedNode, Quad

from knowledge.ontology import ontology_quads
from knowledge.queries.inference import TYPE, Axioms, Fact, TooMuchInferredError, infer

ONTOLOGY = b"""
@prefix : <urn:> . @prefix owl: <http://www.w3.org/2002/07/owl#> .
@prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
:Cat rdfs:subClassOf :Mammal . :Mammal rdfs:subClassOf :Animal . :Animal rdfs:subClassOf :Cat2 .
:Cat2 rdfs:subClassOf :Animal .
:directed rdfs:subPropertyOf :made . :made owl:inverseOf :madeBy .
:spouse a owl:SymmetricProperty . :partOf a owl:TransitiveProperty ; rdfs:subPropertyOf :near .
:near a owl:SymmetricProperty .
"""


def _n(name: str) -> NamedNode:
    return NamedNode(f"urn:{name}")


def _fact(line: str) -> Fact:
    s, p, o = line.split()
    return _n(s), TYPE if p == "a" else _n(p), _n(o)


def _inferred(*lines: str, limit: int = 1000) -> set[Fact]:
    quads: list[Quad] = ontology_quads(ONTOLOGY, "o.ttl")
    return infer(map(_fact, lines), Axioms.of(quads), limit)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["tom a Cat"], ["tom a Mammal", "tom a Animal", "tom a Cat2"]),
        (["ada directed ferry"], ["ada made ferry", "ferry madeBy ada"]),
        (["ferry madeBy ada"], ["ada made ferry"]),
        (["ada spouse per"], ["per spouse ada"]),
        (
            ["a partOf b", "b partOf c"],
            ["a partOf c", "a near b", "b near a", "b near c", "c near b", "a near c", "c near a"],
        ),
        (["ada knows per"], []),
    ],
)
def test_each_rule_and_their_chains_give_what_follows_and_no_more(given: list[str], expected: list[str]) -> None:
    """Sub-classes (in circles, too), sub-properties, inverses, symmetry and transitivity, one after another."""
    assert _inferred(*given) == {_fact(line) for line in expected}


def test_what_was_said_is_not_inferred() -> None:
    """The mark says that only the ontology implies a fact."""
    assert _inferred("tom a Cat", "tom a Mammal") == {_fact("tom a Animal"), _fact("tom a Cat2")}


def test_more_than_the_bound_is_not_inferred_at_all() -> None:
    """A transitive chain of n things implies n² facts."""
    with pytest.raises(TooMuchInferredError, match="more than 100"):
        _inferred(*(f"x{n} partOf x{n + 1}" for n in range(50)), limit=100)
