"""A statement becomes a fact when the passage and the ontology bear it out; else it is rejected with the reason."""

from dataclasses import replace

from knowledge.domain import Literal, Span
from knowledge.findings import FoundRelation, FoundRelations, Statement, Support
from knowledge.stages.entities import find_entities
from knowledge.stages.relations import find_relations
from tests.findings import ADA, BORN, OSLO, TEXT, mentioned, related
from tests.sample import NAMESPACE, sample_ontology


def _facts(**item: object) -> tuple[list[FoundRelation], list[str]]:
    found = related(ADA, OSLO, relations=({**BORN, **item},))
    return list(found.relations), [r.reason for r in found.rejections]


def test_a_fact_has_its_quoted_evidence() -> None:
    """Evidence is a span of the passage, not the model's word."""
    found, rejected = _facts(confidence=0.9)
    place = (Span(20, 43),)
    assert found == [FoundRelation(0, f"{NAMESPACE}bornIn", 1, None, 0.9, place, places=place)]
    assert not rejected


def _literal(said: str) -> Literal | None:
    found, _ = _facts(predicate="birth date", object_id=None, object_literal=said)
    return found[0].literal if found else None


def test_a_literal_is_normalised_and_keeps_the_surface_of_the_text() -> None:
    """However the model writes a value, it is where the text says it."""
    date = "http://www.w3.org/2001/XMLSchema#date"
    assert _literal("4 May 1901") == Literal("1901-05-04", date, "4 May 1901")
    assert _literal("1901-05-04") == Literal("1901-05-04", date, "4 May 1901")


def test_a_value_listed_as_a_thing_is_found_where_the_text_says_it() -> None:
    """Models list dates among the things, written in their own way."""
    listed = {"id": "e7", "name": "1901-05-04"}
    (found,) = related(ADA, listed, relations=({**BORN, "predicate": "birth date", "object_id": "e7"},)).relations
    assert found.literal == _literal("4 May 1901")


def test_a_value_that_the_passage_does_not_have_is_no_fact() -> None:
    """Neither another date nor a filler."""
    assert [_literal(said) for said in ("5 May 1901", "unknown", "N/A", "Zorblax")] == [None] * 4


def test_a_thing_given_as_text_is_recognised_for_an_object_predicate() -> None:
    """Models mix up the two fields; the predicate's kind decides."""
    (found,), _ = _facts(object_id=None, object_literal="oslo")
    assert found.object == 1


def test_ids_are_understood_in_any_case_and_names_for_ids() -> None:
    """What is meant is plain."""
    assert _facts(subject_id="E1", object_id="Oslo") == _facts()
    assert _facts(subject_id=1, object_id=2) == _facts()


def test_a_fact_whose_quotation_is_missing_needs_a_sentence_with_both_ends() -> None:
    """A made-up quotation does not carry a fact; a sentence that names both ends still does."""
    (found,), _ = _facts(evidence="nobody wrote this", confidence=1)
    assert (found.evidence, found.support) == ((Span(20, 58),), Support.UNQUOTED)
    prize = {"id": "e2", "name": "Prize", "types": ["prize"], "mentions": ["“Nordlys” Prize"]}
    won = {"subject_id": "e1", "predicate": "won", "object_id": "e2", "evidence": "nobody wrote this"}
    assert not related(ADA, prize, relations=(won,)).relations


def test_evidence_that_names_an_end_by_a_pronoun_is_completed_by_the_last_sentence_that_names_it() -> None:
    """Whoever reads the evidence must see what it is about."""
    prize = {"id": "e2", "name": "Prize", "types": ["prize"], "mentions": ["“Nordlys” Prize"]}
    won = {"subject_id": "e1", "predicate": "won", "object_id": "e2", "evidence": "She won the “Nordlys” Prize."}
    (found,) = related(ADA, prize, relations=({**won, "confidence": 1},)).relations
    assert [TEXT[span.start : span.end] for span in found.evidence] == [
        "Brandt was born in Oslo on 4 May 1901.",
        "She won the “Nordlys” Prize.",
    ]
    assert found.support is Support.UNNAMED


def test_facts_about_nothing_known_are_rejected_with_the_reason() -> None:
    """Nothing vanishes silently."""
    assert _facts(subject_id="e9")[1] == ["is about a thing that is not listed"]
    assert _facts(predicate="befriended")[1] == ["has a predicate that the ontology does not have"]
    assert _facts(object_id="e9")[1] == ["leads to nothing that is listed or said"]
    assert _facts(object_id="e1")[1] == ["leads from a thing to itself"]


def test_the_same_fact_said_twice_is_one() -> None:
    """With the evidence of both."""
    again = {**BORN, "object_id": "E2", "evidence": TEXT[20:58], "confidence": 0.9}
    (found,) = related(ADA, OSLO, relations=(BORN, again)).relations
    assert (found.claim, len(found.evidence), len(found.places)) == (0.9, 2, 2)


def test_a_fact_about_a_thing_that_the_passage_does_not_name_is_rejected() -> None:
    """Nothing invented gets in, neither the thing nor what is said of it."""
    invented = {"id": "e2", "name": "Zorblax", "types": ["city"], "mentions": ["Zorblax"]}
    found = related(ADA, invented, relations=(BORN,))
    assert not found.relations
    assert [r.item for r in found.rejections] == ["Ada Brandt born in Zorblax"]


def _stated(*statements: Statement) -> FoundRelations:
    found = replace(mentioned(ADA, OSLO), statements=statements)
    entities = find_entities(TEXT, found, sample_ontology()).entities
    return find_relations(TEXT, found, entities, sample_ontology())


def test_an_extractor_that_knows_where_the_passage_says_it_is_believed() -> None:
    """Rules that have read a sentence need not quote it; who is meant by a pronoun there, they know."""
    date = Literal("1901", "http://www.w3.org/2001/XMLSchema#gYear", "1901")
    place = (Span(59, 87),)
    found = _stated(
        Statement("e1", f"{NAMESPACE}bornIn", "e2", confidence=0.65432, evidence=place),
        Statement("e1", f"{NAMESPACE}birthDate", literal=date, confidence=0.9, evidence=place),
    )
    assert found.relations == (
        FoundRelation(0, f"{NAMESPACE}bornIn", 1, None, 0.65432, place, places=place),
        FoundRelation(0, f"{NAMESPACE}birthDate", None, date, 0.9, place, places=place),
    )
    assert not found.rejections


def test_even_so_predicate_and_ends_must_be_known() -> None:
    """Whoever states it, the ontology and the entities decide."""
    place = (Span(59, 87),)
    found = _stated(
        Statement("e1", "befriended", "e2", evidence=place),
        Statement("e1", f"{NAMESPACE}bornIn", "e1", evidence=place),
        Statement("e9", f"{NAMESPACE}bornIn", "e2", evidence=place),
    )
    assert not found.relations
    assert len(found.rejections) == 3
