"""What the stages make of an answer about a passage, for tests that say it in a few words."""

import json

from knowledge.domain import Extractor
from knowledge.findings import FoundEntities, FoundMentions, FoundRelations
from knowledge.models.answers import parse_answer
from knowledge.stages.entities import find_entities
from knowledge.stages.mentions import find_mentions
from knowledge.stages.relations import find_relations
from tests.sample import sample_ontology

TEXT = "Ada Brandt met Ada. Brandt was born in Oslo on 4 May 1901. She won the “Nordlys” Prize."
ADA = {"id": "e1", "name": "Ada Brandt", "types": ["scientist"], "mentions": ["Ada Brandt", "Brandt"]}
OSLO = {"id": "e2", "name": "Oslo", "types": ["city"], "mentions": [{"text": "Oslo", "start": 39}]}
BORN = {"subject_id": "e1", "predicate": "born in", "object_id": "e2", "evidence": "Brandt was born in Oslo"}


def mentioned(*things: object, relations: tuple[object, ...] = (), text: str = TEXT) -> FoundMentions:
    """The mentions stage's result for a chat model's answer."""
    answer = parse_answer(json.dumps({"entities": things, "relations": relations}))
    assert not answer.problem
    placed = find_mentions(text, answer.things, sample_ontology())
    return FoundMentions(
        placed.mentions, placed.things, answer.statements, Extractor("scripted", "m"), rejections=placed.rejections
    )


def named(*things: object, text: str = TEXT) -> FoundEntities:
    """The entities stage's result for a chat model's answer."""
    return find_entities(text, mentioned(*things, text=text), sample_ontology())


def related(*things: object, relations: tuple[object, ...], text: str = TEXT) -> FoundRelations:
    """The relations stage's result for a chat model's answer."""
    found = mentioned(*things, relations=relations, text=text)
    entities = find_entities(text, found, sample_ontology()).entities
    return find_relations(text, found, entities, sample_ontology())
