"""A fact that the ontology does not foresee is kept and flagged; only a strict run leaves it out."""

from knowledge.domain import Document, Entity, KnowledgeGraph, Literal, Relation
from knowledge.ids import EntityId, ExtractionId, OntologyId, OrganizationId, RelationId
from knowledge.ontology import load_ontology
from knowledge.stages.validation import OUTSIDE_DOMAIN, OUTSIDE_RANGE, flag_violations, without_violations
from tests.sample import NAMESPACE, sample_ontology

XSD = "http://www.w3.org/2001/XMLSchema#"
BORN, BIRTH_DATE = f"{NAMESPACE}bornIn", f"{NAMESPACE}birthDate"


def _flags(subject: str, predicate: str, target: str | Literal, ontology: bytes = b"") -> tuple[str, ...]:
    """The flags of a fact between things of these classes (`Person`, or `Person+City` for both)."""
    graph = flag_violations(_graph(subject, predicate, target), _ontology(ontology))
    return graph.relations[0].flags


def _ontology(more: bytes):
    return load_ontology(more, "o.ttl") if more else sample_ontology()


def _graph(subject: str, predicate: str, target: str | Literal) -> KnowledgeGraph:
    ends = [
        Entity(EntityId.derive(str(n)), f"thing {n}", tuple(NAMESPACE + name for name in classes.split("+") if name))
        for n, classes in enumerate((subject, target if isinstance(target, str) else "City"))
    ]
    object_id = ends[1].id if isinstance(target, str) else None
    literal = None if isinstance(target, str) else target
    relation = Relation(RelationId.derive("r"), ends[0].id, predicate, object_id, literal, 0.5, ())
    document = Document.of(OrganizationId("acme"), "d", "x")
    return KnowledgeGraph(ExtractionId.derive("e"), document.id, OntologyId.derive("o"), tuple(ends), (), (relation,))


def test_ends_of_the_right_classes_are_not_flagged() -> None:
    """Also where the class lies below the domain, or above it, or is one of several, or is not known."""
    for subject in ("Person", "Scientist", "City+Person", ""):
        assert _flags(subject, BORN, "City") == ()


def test_ends_of_other_classes_are_flagged_each_by_itself() -> None:
    """Whoever filters must see which end is odd."""
    assert _flags("City", BORN, "City") == (OUTSIDE_DOMAIN,)
    assert _flags("Person", BORN, "Prize") == (OUTSIDE_RANGE,)
    assert _flags("Prize", BORN, "Person") == (OUTSIDE_DOMAIN, OUTSIDE_RANGE)


def test_values_are_checked_by_datatype_and_dates_may_be_vague() -> None:
    """A year for a date is less than asked for, and no contradiction; a text is one."""
    assert _flags("Person", BIRTH_DATE, Literal("1901", XSD + "gYear", "1901")) == ()
    assert _flags("Person", BIRTH_DATE, Literal("spring", XSD + "string", "spring")) == (OUTSIDE_RANGE,)
    assert _flags("Person", BORN, Literal("Oslo", XSD + "string", "Oslo")) == (OUTSIDE_RANGE,)


def test_inherited_and_missing_domains_and_unions_are_understood() -> None:
    """What an ontology leaves out forbids nothing."""
    ontology = b"""
    @prefix : <https://example.org/o#> . @prefix owl: <http://www.w3.org/2002/07/owl#> .
    @prefix rdfs: <http://www.w3.org/2000/01/rdf-schema#> .
    :Person a owl:Class . :City a owl:Class . :Prize a owl:Class .
    :knows a owl:ObjectProperty .
    :visited a owl:ObjectProperty ; rdfs:domain [ a owl:Class ; owl:unionOf ( :Person :Prize ) ] .
    :saw a owl:ObjectProperty ; rdfs:subPropertyOf :visited ; rdfs:range :City .
    """
    assert _flags("City", f"{NAMESPACE}knows", "City", ontology) == ()
    assert _flags("Prize", f"{NAMESPACE}saw", "City", ontology) == ()
    assert _flags("City", f"{NAMESPACE}saw", "City", ontology) == (OUTSIDE_DOMAIN,)


def test_a_strict_run_leaves_flagged_facts_out_and_says_so() -> None:
    """Nothing vanishes silently."""
    flagged = flag_violations(_graph("City", BORN, "City"), sample_ontology())
    kept, left_out = without_violations(flagged)
    assert (len(flagged.relations), kept.relations) == (1, ())
    assert [(r.reason, r.item) for r in left_out] == [("is outside domain", f"thing 0 {BORN} thing 1")]
