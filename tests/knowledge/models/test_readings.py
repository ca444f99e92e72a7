"""What a model answers is placed in the passage or rejected; nothing in between."""

import json

from knowledge.domain import FoundRelation, Literal, Span
from knowledge.models.answers import PassageAnswer, parse_answer
from knowledge.models.readings import Findings, read_answer
from tests.sample import NAMESPACE, sample_ontology

TEXT = "Ada Brandt met Ada. Brandt was born in Oslo on 4 May 1901. She won the “Nordlys” Prize."
ADA = {"id": "e1", "name": "Ada Brandt", "types": ["scientist"], "mentions": ["Ada Brandt", "Brandt"]}
OSLO = {"id": "e2", "name": "Oslo", "types": ["city"], "mentions": [{"text": "Oslo", "start": 39}]}
BORN = {"subject_id": "e1", "predicate": "born in", "object_id": "e2", "evidence": "Brandt was born in Oslo"}


def _read(*entities: object, relations: tuple[object, ...] = (), text: str = TEXT) -> Findings:
    answer = parse_answer(json.dumps({"entities": entities, "relations": relations}))
    assert not answer.problem
    found = read_answer(text, answer, sample_ontology())
    assert all(text[m.span.start : m.span.end] == m.text for m in found.mentions)
    return found


def _places(*mentions: tuple[str, int], text: str = TEXT) -> tuple[list[tuple[int, int]], list[str]]:
    """Where the mentions of one thing are, and which are nowhere."""
    thing = {"id": "e1", "mentions": [{"text": t, "start": s} for t, s in mentions]}
    found = _read(thing, text=text)
    nowhere = [r.item for r in found.rejections if r.reason == "is not in the passage"]
    return [(m.span.start, m.span.end) for m in found.mentions], nowhere


def test_a_mention_is_where_it_says_when_the_text_is_there() -> None:
    """A model that counts well is believed, so that namesakes keep apart."""
    assert _places(("Ada", 15)) == ([(15, 18)], [])


def test_a_mention_with_a_nearly_right_offset_is_the_nearest() -> None:
    """Models miscount by a few characters; two namesakes must still keep apart."""
    far = {"id": "e1", "name": "Ada", "mentions": [{"text": "Ada", "start": 13}]}
    near = {"id": "e2", "name": "Ada", "mentions": [{"text": "Ada", "start": 1}]}
    assert [e.mentions for e in _read(far, near).entities] == [(0,), (1,)]
    assert [m.span.start for m in _read(far).mentions] == [15]


def test_repeated_mentions_take_the_places_in_order() -> None:
    """Two mentions of one text are two places, and a third where there are two is no other."""
    assert _places(("Ada", -1), ("Ada", -1), ("Ada", -1)) == ([(0, 3), (15, 18)], [])


def test_a_mention_that_is_not_there_is_rejected() -> None:
    """An invented mention has no place, and must not vanish silently."""
    assert _places(("Oslo", 0), ("Bergen", 0), ("", 0)) == ([(39, 43)], ["Bergen", ""])


def test_case_and_typography_do_not_hide_a_mention() -> None:
    """Models tidy up what they copy; the span is the passage's own text."""
    (mention,) = _read({"id": "e1", "mentions": ["the 'nordlys'  prize"]}).mentions
    assert mention.text == "the “Nordlys” Prize"


def test_part_of_a_word_or_name_is_the_last_place_to_look() -> None:
    """`Ann` in `Annual` is not Ann when Ann is there, nor is the York of New York."""
    assert _places(("Ann", -1), text="The Annual met Ann.") == ([(15, 18)], [])
    york = {"id": "e1", "mentions": ["York"]}
    city = {"id": "e2", "mentions": [{"text": "New York", "start": 0}]}
    assert [m.span for m in _read(york, city, text="New York and York.").mentions] == [Span(0, 8), Span(13, 17)]


def test_things_of_one_id_are_one_and_of_different_ids_are_two() -> None:
    """A repeated item adds nothing; two films of one title stay two, even where one mention means both."""
    again = {**OSLO, "name": "OSLO", "types": ["city", "prize"]}
    (entity,) = _read(OSLO, again).entities
    assert (entity.name, entity.classes) == ("Oslo", (f"{NAMESPACE}City", f"{NAMESPACE}Prize"))
    namesakes = _read(OSLO, {**OSLO, "id": "e3"})
    assert [e.mentions for e in namesakes.entities] == [(0,), (0,)]


def test_a_thing_without_mentions_is_where_its_name_is() -> None:
    """Models forget to list what they have just named."""
    (entity,) = _read({"id": "e1", "name": "Oslo", "types": ["city"]}).entities
    assert entity.mentions == (0,)


def test_a_thing_that_the_passage_does_not_name_is_rejected_with_its_facts() -> None:
    """Nothing invented gets in, neither the thing nor what is said of it."""
    invented = {"id": "e2", "name": "Zorblax", "types": ["city"], "mentions": ["Zorblax"]}
    found = _read(ADA, invented, relations=(BORN,))
    assert [e.name for e in found.entities] == ["Ada Brandt"]
    assert not found.relations
    assert {r.item for r in found.rejections} == {"Zorblax", "e1 born in e2"}


def test_a_second_name_that_the_passage_does_not_have_is_no_name() -> None:
    """An invented item may carry the id of a real one."""
    found = _read(OSLO, {**OSLO, "name": "Zorblax"})
    assert [e.name for e in found.entities] == ["Oslo"]
    assert [r.item for r in found.rejections] == ["Zorblax"]


def test_unknown_classes_are_rejected_and_said_so() -> None:
    """A class outside the ontology is recorded, not obeyed; the thing stays."""
    found = _read({**OSLO, "types": ["Unicorn", "Thing", "city"]})
    assert found.entities[0].classes == (f"{NAMESPACE}City",)
    assert [r.item for r in found.rejections] == ["Oslo: Unicorn"]


def _facts(**item: object) -> tuple[list[FoundRelation], list[str]]:
    found = _read(ADA, OSLO, relations=({**BORN, **item},))
    return list(found.relations), [r.reason for r in found.rejections]


def test_a_fact_has_its_quoted_evidence() -> None:
    """Evidence is a span of the passage, not the model's word."""
    found, rejected = _facts(confidence=0.9)
    assert found == [FoundRelation(0, f"{NAMESPACE}bornIn", 1, None, 0.9, (Span(20, 43),))]
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
    (found,) = _read(ADA, listed, relations=({**BORN, "predicate": "birth date", "object_id": "e7"},)).relations
    assert found.literal == _literal("4 May 1901")


def test_the_name_of_a_class_is_no_thing() -> None:
    """`a prize` is of a kind that the ontology has, and no particular one."""
    listed = {"id": "e7", "name": "prize", "types": ["prize"], "mentions": ["prize"]}
    assert not _read(listed, text="She won a prize.").entities


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
    assert (found.evidence, found.confidence) == ((Span(20, 58),), 0.5)
    prize = {"id": "e2", "name": "Prize", "types": ["prize"], "mentions": ["“Nordlys” Prize"]}
    won = {"subject_id": "e1", "predicate": "won", "object_id": "e2", "evidence": "nobody wrote this"}
    assert not _read(ADA, prize, relations=(won,)).relations


def test_evidence_that_names_an_end_by_a_pronoun_is_completed_by_the_last_sentence_that_names_it() -> None:
    """Whoever reads the evidence must see what it is about."""
    prize = {"id": "e2", "name": "Prize", "types": ["prize"], "mentions": ["“Nordlys” Prize"]}
    won = {"subject_id": "e1", "predicate": "won", "object_id": "e2", "evidence": "She won the “Nordlys” Prize."}
    (found,) = _read(ADA, prize, relations=({**won, "confidence": 1},)).relations
    assert [TEXT[span.start : span.end] for span in found.evidence] == [
        "Brandt was born in Oslo on 4 May 1901.",
        "She won the “Nordlys” Prize.",
    ]
    assert found.confidence == 0.8


def test_facts_about_nothing_known_are_rejected_with_the_reason() -> None:
    """Nothing vanishes silently."""
    assert _facts(subject_id="e9")[1] == ["is about a thing that is not listed"]
    assert _facts(predicate="befriended")[1] == ["has a predicate that the ontology does not have"]
    assert _facts(object_id="e9")[1] == ["leads to nothing that is listed or said"]
    assert _facts(object_id="e1")[1] == ["leads from a thing to itself"]


def test_the_same_fact_said_twice_is_one() -> None:
    """With the evidence of both."""
    again = {**BORN, "object_id": "E2", "evidence": TEXT[20:58], "confidence": 0.9}
    (found,) = _read(ADA, OSLO, relations=(BORN, again)).relations
    assert (found.confidence, len(found.evidence)) == (0.9, 2)


def test_nothing_answered_is_nothing_found() -> None:
    """An empty passage is no error."""
    assert read_answer("It rained.", PassageAnswer(), sample_ontology()) == Findings((), (), (), ())
