"""Mentions become things: grouped by id, named as the passage names them, classified by the ontology."""

from dataclasses import replace

from knowledge.findings import ListedThing
from knowledge.stages.entities import find_entities
from tests.findings import ADA, OSLO, TEXT, mentioned, named
from tests.sample import NAMESPACE, sample_ontology


def test_things_of_one_id_are_one_and_of_different_ids_are_two() -> None:
    """A repeated item adds nothing; two films of one title stay two, even where one mention means both."""
    again = {**OSLO, "name": "OSLO", "types": ["city", "prize"]}
    (entity,) = named(OSLO, again).entities
    assert (entity.name, entity.classes) == ("Oslo", (f"{NAMESPACE}City", f"{NAMESPACE}Prize"))
    namesakes = named(OSLO, {**OSLO, "id": "e3"})
    assert [e.mentions for e in namesakes.entities] == [(0,), (0,)]


def test_ids_are_one_in_any_case_and_things_without_ids_are_told_apart_by_name() -> None:
    """What is meant is plain."""
    assert len(named(OSLO, {**OSLO, "id": "E2"}).entities) == 1
    assert [e.name for e in named({**ADA, "id": ""}, {**OSLO, "id": ""}).entities] == ["Ada Brandt", "Oslo"]


def test_a_thing_is_called_what_the_passage_calls_it_besides_its_name() -> None:
    """Facts may speak of it by any of its names."""
    (entity,) = named(ADA).entities
    assert (entity.name, entity.other_names, entity.mentions) == ("Ada Brandt", ("Brandt",), (0, 1))


def test_a_thing_without_a_name_is_called_by_its_longest_mention() -> None:
    """Models leave names empty when they have given mentions."""
    assert [e.name for e in named({**ADA, "name": ""}).entities] == ["Ada Brandt"]


def test_things_are_in_order_of_first_mention() -> None:
    """Equal findings are equal, however the answer was ordered."""
    assert [e.name for e in named(OSLO, ADA).entities] == ["Ada Brandt", "Oslo"]


def test_a_thing_that_the_passage_does_not_name_is_none() -> None:
    """Nothing invented gets in."""
    invented = {"id": "e9", "name": "Zorblax", "types": ["city"], "mentions": ["Zorblax"]}
    assert [e.name for e in named(ADA, invented).entities] == ["Ada Brandt"]


def test_a_second_name_that_the_passage_does_not_have_is_no_name() -> None:
    """An invented item may carry the id of a real one."""
    found = named(OSLO, {**OSLO, "name": "Zorblax"})
    assert [(e.name, e.other_names) for e in found.entities] == [("Oslo", ())]
    assert [r.item for r in found.rejections] == ["Zorblax"]


def test_unknown_classes_are_rejected_and_said_so() -> None:
    """A class outside the ontology is recorded, not obeyed; the thing stays."""
    found = named({**OSLO, "types": ["Unicorn", "Thing", "city"]})
    assert found.entities[0].classes == (f"{NAMESPACE}City",)
    assert [r.item for r in found.rejections] == ["Oslo: Unicorn"]


def test_only_mentions_make_things() -> None:
    """The stage builds on the mentions that were placed, not on what was listed."""
    found = replace(mentioned(OSLO), mentions=(), things=(ListedThing("e2", "Oslo", ("city",)),))
    assert not find_entities(TEXT, found, sample_ontology()).entities
