"""Questions made from gold facts: subject and predicate known, object asked; and questions that nothing answers."""

import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gold_graphs import GoldGraph, Line

from knowledge.ids import RelationId
from knowledge.ontology.names import words_of
from knowledge.search.names import name_key

_FORMS = (
    "What is the {predicate} of {subject}?",
    "{subject}: {predicate}?",
    "Tell me the {predicate} of {subject}.",
    "What does the graph say about {subject}'s {predicate}?",
)
# How people ask for some common predicates without using their names.
_PARAPHRASES = {
    "director": "Who directed {subject}?",
    "cast member": "Who starred in {subject}?",
    "screenwriter": "Who wrote the screenplay of {subject}?",
    "publication date": "When was {subject} released?",
    "date of birth": "When was {subject} born?",
    "place of birth": "Where was {subject} born?",
    "date of death": "When did {subject} die?",
    "place of death": "Where did {subject} die?",
    "country of citizenship": "Which country is {subject} a citizen of?",
    "country": "In which country is {subject}?",
    "developer": "Who developed {subject}?",
    "performer": "Who performed {subject}?",
    "spouse": "Who was {subject} married to?",
    "author": "Who is the author of {subject}?",
    "composer": "Who composed the music of {subject}?",
    "employer": "Whom did {subject} work for?",
    "educated at": "Where did {subject} study?",
    "capital": "Which city is the capital of {subject}?",
    "inception": "When was {subject} founded?",
    "award received": "Which award did {subject} receive?",
    "ingredient": "What is {subject} made of?",
    "record label": "On which label was {subject} released?",
}
# Of no vocabulary of facts from encyclopedias.
_FOREIGN = ("shoe size", "blood type", "favourite colour", "phone number", "password", "salary", "zodiac sign")


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a subject.

    `relations` are the facts that answer it and `objects` the forms of each; none when nothing does.
    """

    text: str
    kind: str
    subject: str
    relations: frozenset[RelationId] = frozenset()
    objects: tuple[tuple[str, ...], ...] = ()


def answerable(gold: Sequence[GoldGraph]) -> tuple[Question, ...]:
    """A question for each subject and predicate, in forms that take turns, and where there is one a paraphrase."""
    relations: defaultdict[tuple[str, str], set[RelationId]] = defaultdict(set)
    objects: defaultdict[tuple[str, str], set[tuple[str, ...]]] = defaultdict(set)
    subjects: dict[tuple[str, str], str] = {}
    for one in gold:
        entities = {entity["id"]: entity for entity in one.line["entities"]}
        for n, relation_id in one.relation_of.items():
            triple = one.line["triples"][n]
            label = entities[triple["subject"]]["label"]
            key = (name_key(label), words_of(triple["predicate_label"]))
            subjects.setdefault(key, label)
            relations[key].add(relation_id)
            objects[key].add(_forms(triple, entities))
    return tuple(_questions(relations, objects, subjects))


def _questions(
    relations: dict[tuple[str, str], set[RelationId]],
    objects: dict[tuple[str, str], set[tuple[str, ...]]],
    subjects: dict[tuple[str, str], str],
) -> Iterator[Question]:
    for n, key in enumerate(sorted(relations)):
        facts = (frozenset(relations[key]), tuple(sorted(objects[key])))
        text = _FORMS[n % len(_FORMS)].format(subject=subjects[key], predicate=key[1])
        yield Question(text, "template", subjects[key], *facts)
        if key[1] in _PARAPHRASES:
            yield Question(_PARAPHRASES[key[1]].format(subject=subjects[key]), "paraphrase", subjects[key], *facts)


def _forms(triple: Line, entities: dict[str, Line]) -> tuple[str, ...]:
    if "object_literal" in triple:
        return tuple(dict.fromkeys((triple["object_literal"], *triple.get("object_forms", ()))))
    entity = entities[triple["object"]]
    return tuple(dict.fromkeys((entity["label"], *entity.get("aliases", ()))))


def unanswerable(gold: Sequence[GoldGraph], held_out: Sequence[GoldGraph], seed: int) -> tuple[Question, ...]:
    """Questions about what is not in `gold`: predicates that a subject lacks (core or not), by name and as people ask
    for them, subjects only in `held_out`, and predicates that no graph has; about as many of each."""
    chance = random.Random(seed)
    said, names = _said(gold)
    missing = [
        (entity["label"], words_of(predicate))
        for one in gold
        for entity in one.line["entities"]
        for predicate in one.line["predicate_iris"]
        if (name_key(entity["label"]), words_of(predicate)) not in said and _is_telling(entity["label"])
    ]
    strange = [
        (entity["label"], words_of(triple["predicate_label"]))
        for one in held_out
        for triple in one.line["triples"]
        for entity in one.line["entities"]
        if entity["id"] == triple["subject"] and name_key(entity["label"]) not in names and _is_telling(entity["label"])
    ]
    foreign = [
        (entity["label"], chance.choice(_FOREIGN))
        for one in gold
        for entity in one.line["entities"]
        if _is_telling(entity["label"])
    ]
    size = 400
    found: list[Question] = []
    for kind, pairs in (("missing fact", missing), ("unknown subject", strange), ("foreign predicate", foreign)):
        distinct = sorted(set(pairs))
        for n, (subject, predicate) in enumerate(chance.sample(distinct, min(size, len(distinct)))):
            found.append(Question(_FORMS[n % len(_FORMS)].format(subject=subject, predicate=predicate), kind, subject))
    asked = sorted({pair for pair in missing if pair[1] in _PARAPHRASES})
    for subject, predicate in chance.sample(asked, min(size, len(asked))):
        found.append(Question(_PARAPHRASES[predicate].format(subject=subject), "missing fact, paraphrased", subject))
    return tuple(found)


def _said(gold: Sequence[GoldGraph]) -> tuple[set[tuple[str, str]], set[str]]:
    """Every (name, predicate) of any triple, in either direction and under any alias; and all names."""
    said: set[tuple[str, str]] = set()
    names: set[str] = set()
    for one in gold:
        keys = {
            entity["id"]: {name_key(name) for name in (entity["label"], *entity.get("aliases", ()))}
            for entity in one.line["entities"]
        }
        names.update(*keys.values())
        for triple in one.line["triples"]:
            ends = [triple["subject"], *([triple["object"]] if "object" in triple else [])]
            said.update((name, words_of(triple["predicate_label"])) for end in ends for name in keys[end])
    return said, names


def _is_telling(label: str) -> bool:
    """Whether a label is a name rather than a number or a bare word."""
    return bool(re.search(r"[A-Z]\w+", label)) and len(label) > 3
