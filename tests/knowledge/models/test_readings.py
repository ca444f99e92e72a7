"""What a model answers is placed in the passage or rejected; nothing in between."""

from knowledge.domain import FoundEntity, FoundMention, FoundRelation, Span
from knowledge.models.answers import EntitiesAnswer, MentionsAnswer, RelationsAnswer
from knowledge.models.readings import json_part, read_entities, read_mentions, read_relations
from tests.sample import NAMESPACE, sample_ontology

TEXT = "Ada Brandt met Ada. Brandt was born in Oslo on 4 May 1901."


def _mentions(*items: tuple[str, int]) -> tuple[list[tuple[int, int]], list[str]]:
    answer = MentionsAnswer.model_validate({"mentions": [{"text": t, "start": s} for t, s in items]})
    found, rejected = read_mentions(TEXT, answer)
    assert all(TEXT[m.span.start : m.span.end] == m.text for m in found)
    return [(m.span.start, m.span.end) for m in found], [r.item for r in rejected]


def test_a_mention_is_where_it_says_when_the_text_is_there() -> None:
    """A model that counts well is believed, so that homonyms keep apart."""
    assert _mentions(("Ada", 15)) == ([(15, 18)], [])


def test_a_mention_with_a_wrong_offset_is_found_by_its_text() -> None:
    """Models count badly; the text decides."""
    assert _mentions(("Oslo", 3)) == ([(39, 43)], [])


def test_repeated_mentions_take_the_places_in_order() -> None:
    """Two mentions of one text are two places."""
    assert _mentions(("Ada", -1), ("Ada", -1)) == ([(0, 3), (15, 18)], [])


def test_a_mention_said_too_often_or_not_at_all_is_rejected() -> None:
    """An invented mention has no place, and must not vanish silently."""
    assert _mentions(("Oslo", 0), ("Oslo", 0), ("Bergen", 0), ("", 0)) == ([(39, 43)], ["Oslo", "Bergen", ""])


def test_case_and_typography_do_not_hide_a_mention() -> None:
    """Models tidy up what they copy; the span is the passage's own text."""
    answer = MentionsAnswer.model_validate({"mentions": [{"text": "o'neill's  law", "start": 0}]})
    (found,), _ = read_mentions("We know O’Neill’s law.", answer)
    assert found.text == "O’Neill’s law"


def test_part_of_a_word_is_the_last_place_to_look() -> None:
    """`Ann` in `Annual` is not Ann when Ann is there."""
    answer = MentionsAnswer.model_validate({"mentions": [{"text": "Ann", "start": -1}]})
    (found,), _ = read_mentions("The Annual met Ann.", answer)
    assert found.span == Span(15, 18)


def _found(*texts: str) -> tuple[FoundMention, ...]:
    return tuple(FoundMention(Span(n * 10, n * 10 + len(t)), t) for n, t in enumerate(texts))


def _entities(mentions: tuple[FoundMention, ...], *items: tuple[int, str, list[str]]) -> tuple[FoundEntity, ...]:
    answer = EntitiesAnswer.model_validate(
        {"entities": [{"mention_id": n, "name": name, "types": types} for n, name, types in items]}
    )
    return read_entities(mentions, answer, sample_ontology())[0]


def test_mentions_of_one_name_and_class_are_one_entity() -> None:
    """That is what the name is asked for."""
    mentions = _found("Ada Brandt", "Brandt")
    (entity,) = _entities(mentions, (1, "Ada Brandt", ["scientist"]), (2, "ada brandt", ["scientist", "person"]))
    assert entity == FoundEntity("Ada Brandt", (f"{NAMESPACE}Scientist", f"{NAMESPACE}Person"), (0, 1))


def test_one_name_for_things_of_different_classes_stays_two_entities() -> None:
    """A city and a prize can share a name and are still two things."""
    found = _entities(_found("Oslo", "Oslo"), (1, "Oslo", ["city"]), (2, "Oslo", ["prize"]))
    assert [entity.mentions for entity in found] == [(0,), (1,)]


def test_unknown_classes_and_mentions_are_rejected_and_said_so() -> None:
    """An answer outside the ontology or the list is recorded, not obeyed."""
    answer = EntitiesAnswer.model_validate(
        {
            "entities": [
                {"mention_id": 1, "name": "Oslo", "types": ["Unicorn", "Thing", "city"]},
                {"mention_id": 7, "name": "Bergen", "types": ["city"]},
            ]
        }
    )
    (entity,), rejected = read_entities(_found("Oslo"), answer, sample_ontology())
    assert entity.classes == (f"{NAMESPACE}City",)
    assert [r.item for r in rejected] == ["Oslo: Unicorn", "7 Bergen"]


ENTITIES = (FoundEntity("Ada Brandt", (), (0,)), FoundEntity("Oslo", (), (1,)))


def _relations(**item: object) -> tuple[list[FoundRelation], list[str]]:
    base = {"subject_id": "e1", "predicate": "born in", "object_id": "e2", "evidence": "Brandt was born in Oslo"}
    answer = RelationsAnswer.model_validate({"relations": [{**base, **item}]})
    found, rejected = read_relations(TEXT, ENTITIES, answer, sample_ontology())
    return list(found), [r.reason for r in rejected]


def test_a_fact_has_its_quoted_evidence() -> None:
    """Evidence is a span of the passage, not the model's word."""
    found, rejected = _relations()
    assert found == [FoundRelation(0, f"{NAMESPACE}bornIn", 1, None, 0.5, (Span(20, 43),))]
    assert not rejected


def test_a_literal_is_normalised_to_the_range_of_its_predicate() -> None:
    """Dates become dates; how the text has them is kept."""
    (found,), _ = _relations(predicate="birth date", object_id=None, object_literal="4 May 1901")
    literal = found.literal
    assert literal is not None
    assert (literal.lexical, literal.surface) == ("1901-05-04", "4 May 1901")
    assert literal.datatype.endswith("#date")


def test_a_thing_given_as_text_is_recognised_for_an_object_predicate() -> None:
    """Models mix up the two fields; the predicate's kind decides."""
    (found,), _ = _relations(object_id=None, object_literal="oslo")
    assert found.object == 1


def test_a_fact_whose_quotation_is_missing_needs_a_sentence_with_both_ends() -> None:
    """A made-up quotation does not carry a fact; a sentence that names both ends still does."""
    answer = {
        "relations": [
            {
                "subject_id": "e1",
                "predicate": "born in",
                "object_id": "e2",
                "evidence": "nobody wrote this",
                "confidence": 1,
            }
        ]
    }
    ends = (FoundEntity("Brandt", (), (0,)), FoundEntity("Oslo", (), (1,)))
    (found,), _ = read_relations(TEXT, ends, RelationsAnswer.model_validate(answer), sample_ontology())
    assert (found.evidence, found.confidence) == ((Span(20, 58),), 0.5)
    assert _relations(evidence="nobody wrote this") == ([], ["quotes evidence that is not in the passage"])


def test_facts_about_nothing_known_are_rejected_with_the_reason() -> None:
    """Nothing vanishes silently."""
    assert _relations(subject_id="e9")[1] == ["is about a thing that was not listed"]
    assert _relations(predicate="befriended")[1] == ["has a predicate that the ontology does not have"]
    assert _relations(object_id="e9")[1] == ["leads to nothing that was listed or said"]


def test_a_code_fence_around_json_is_taken_off() -> None:
    """Many models cannot help it."""
    assert json_part('```json\n{"a": 1}\n```') == '{"a": 1}'
    assert json_part('{"a": 1}') == '{"a": 1}'
