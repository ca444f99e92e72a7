"""Shapes made from an ontology find what validation flags, and given ones are checked as they are."""

import pytest

from knowledge.domain import Document, Entity, KnowledgeGraph, Literal, Relation
from knowledge.errors import InputRefused
from knowledge.exports import GraphExport
from knowledge.ids import EntityId, ExtractionId, OrganizationId, RelationId
from knowledge.ontology import load_ontology
from knowledge.pipeline import ontology_id_of
from knowledge.shacl import check_shapes
from knowledge.stages.validation import flag_violations
from tests.sample import NAMESPACE, ONTOLOGY

_XSD = "http://www.w3.org/2001/XMLSchema#"
_OWN = ONTOLOGY + b":Thing a owl:Class . :Person rdfs:subClassOf :Thing . :bornIn a owl:FunctionalProperty .\n"
_ONTOLOGY = load_ontology(_OWN, "sample.ttl")
_ORGANIZATION = OrganizationId("acme")


def _entity(name: str, *classes: str) -> Entity:
    return Entity(EntityId.derive(name), name, tuple(NAMESPACE + c for c in classes), ())


def _fact(subject: Entity, predicate: str, target: Entity | Literal) -> Relation:
    is_entity = isinstance(target, Entity)
    return Relation(
        id=RelationId.derive(subject.id, predicate, str(target)),
        subject_id=subject.id,
        predicate=NAMESPACE + predicate,
        object_id=target.id if is_entity else None,
        literal=None if is_entity else target,
        confidence=0.9,
        evidence=(),
    )


ADA, OSLO = _entity("Ada", "Scientist"), _entity("Oslo", "City")
SOMETHING, UNKNOWN = _entity("Something", "Thing"), _entity("Unknown")
YEAR = Literal("1901", _XSD + "gYear", "1901")


def _export(*facts: Relation) -> GraphExport:
    entities = (ADA, OSLO, SOMETHING, UNKNOWN)
    graph = KnowledgeGraph(
        extraction_id=ExtractionId.derive("x"),
        document_id=Document.of(_ORGANIZATION, "a", "text").id,
        ontology_id=ontology_id_of(_ORGANIZATION, _ONTOLOGY),
        entities=entities,
        relations=facts,
    )
    return GraphExport(Document.of(_ORGANIZATION, "a", "text"), _ONTOLOGY, graph)


@pytest.mark.parametrize(
    "fact",
    [
        _fact(ADA, "bornIn", OSLO),
        _fact(OSLO, "bornIn", OSLO),
        _fact(ADA, "bornIn", ADA),
        _fact(SOMETHING, "bornIn", OSLO),
        _fact(UNKNOWN, "bornIn", UNKNOWN),
        _fact(ADA, "birthDate", YEAR),
        _fact(ADA, "birthDate", Literal("many", _XSD + "string", "many")),
        _fact(OSLO, "birthDate", YEAR),
    ],
    ids=lambda fact: f"{fact.subject_id[:8]} {fact.predicate[-9:]}",
)
def test_made_shapes_and_flags_agree(fact: Relation) -> None:
    """A fact that the graph flags is a finding, and one that it does not is none."""
    export = _export(fact)
    flagged = flag_violations(export.graph, _ONTOLOGY).relations[0].flags
    report = check_shapes([export])
    assert sorted(finding.message.split(":")[0] for finding in report.findings) == sorted(flagged)
    assert report.conforms is not bool(flagged)


def test_a_second_value_of_a_functional_property_is_a_warning_with_the_name_of_its_subject() -> None:
    """Two places of birth are worth a look, and somebody must be able to see whose."""
    report = check_shapes([_export(_fact(ADA, "bornIn", OSLO), _fact(ADA, "bornIn", UNKNOWN))])
    assert [(f.severity, f.name, f.message) for f in report.findings] == [("Warning", "Ada", "several values: born in")]
    assert "sh:ValidationReport" in report.turtle


def test_given_shapes_are_used_instead_and_know_the_subclasses() -> None:
    """A team's own rules: every person has a date of birth; a scientist is a person."""
    shapes = f"""
    @prefix sh: <http://www.w3.org/ns/shacl#> .
    [] a sh:NodeShape ; sh:targetClass <{NAMESPACE}Person> ;
       sh:property [ sh:path <{NAMESPACE}birthDate> ; sh:minCount 1 ; sh:message "no date of birth" ] .
    """
    assert [f.name for f in check_shapes([_export(_fact(OSLO, "bornIn", OSLO))], shapes).findings] == ["Ada"]
    assert check_shapes([_export(_fact(ADA, "birthDate", YEAR))], shapes).conforms


def test_what_is_not_shacl_is_refused_with_the_reason() -> None:
    """Whoever mistypes a shape learns where."""
    with pytest.raises(InputRefused, match="not SHACL in Turtle"):
        check_shapes([_export(_fact(ADA, "bornIn", OSLO))], "[] a sh:NodeShape .")
