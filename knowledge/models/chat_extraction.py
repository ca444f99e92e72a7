"""The extraction port over a chat model: a versioned prompt, an answer that is checked, one second chance."""

from collections.abc import Iterable
from dataclasses import replace

from openai.types.chat import ChatCompletionMessageParam

from knowledge.domain import Extractor, Usage
from knowledge.errors import ModelAnswerInvalid
from knowledge.findings import FoundMentions, Rejection
from knowledge.models.answers import PassageAnswer, parse_answer, passage_schema
from knowledge.models.openai import ChatClient
from knowledge.models.second_chance import second_chance
from knowledge.ontology import Ontology, OntologyProperty
from knowledge.prompts import load_prompt
from knowledge.stages.entities import find_entities
from knowledge.stages.mentions import find_mentions
from knowledge.stages.relations import find_relations

PROMPT = "passage.v1"
# Raise it when answers are read in another way.
READING_VERSION = "1"


class ChatExtractionModel:
    """Asks one question for each passage; what is not usable is asked for again once, with the reason."""

    def __init__(self, client: ChatClient) -> None:
        self._client = client

    @property
    def extractor(self) -> Extractor:
        """Who answers."""
        settings = f"temperature={self._client.temperature} reading={READING_VERSION}"
        return Extractor("chat", self._client.model, load_prompt(PROMPT).reference, settings)

    async def read(self, passage: str, ontology: Ontology) -> FoundMentions:
        """All that the model says about the passage, its mentions each at its place; the rest is rejected.

        Raises:
            ModelAnswerInvalid: neither of two answers could be used at all.
        """
        prompt = load_prompt(PROMPT)
        question = prompt.fill(
            classes=_class_list(ontology),
            predicates=_predicate_list(ontology),
            passage=passage,
            tag=_tag_for(passage),
        )
        messages: list[ChatCompletionMessageParam] = [
            {"role": "system", "content": prompt.system},
            {"role": "user", "content": question},
        ]
        schema = passage_schema(ontology)
        first = await self._client.ask(messages, "passage", schema)
        answer = parse_answer(first.text, complete=first.complete)
        found = self._found(passage, answer, ontology, first.usage)
        if not answer.problem:
            return found
        again = await self._client.ask([*messages, *second_chance(first.text, answer.problem)], "passage", schema)
        second = parse_answer(again.text, complete=again.complete)
        usage = first.usage + again.usage
        attempts = ((answer, found), (second, self._found(passage, second, ontology, usage)))
        return replace(_better(passage, attempts, ontology, usage), usage=usage)

    def _found(self, passage: str, answer: PassageAnswer, ontology: Ontology, usage: Usage) -> FoundMentions:
        placed = find_mentions(passage, answer.things, ontology)
        rejections = (*answer.rejections, *placed.rejections)
        return FoundMentions(placed.mentions, placed.things, answer.statements, self.extractor, usage, rejections)


def _better(
    passage: str, attempts: Iterable[tuple[PassageAnswer, FoundMentions]], ontology: Ontology, usage: Usage
) -> FoundMentions:
    """What was found in the answer that says more, and in the whole one if both say as much.

    What an answer says is what the stages after this one make of it: entities and relations.
    """

    def weight(attempt: tuple[PassageAnswer, FoundMentions]) -> tuple[int, bool]:
        answer, found = attempt
        entities = find_entities(passage, found, ontology).entities
        return len(entities) + len(find_relations(passage, found, entities, ontology).relations), not answer.problem

    answer, found = max(attempts, key=weight)
    if not answer.problem:
        return found
    if not found.mentions:
        raise ModelAnswerInvalid(
            "chat endpoint", f"the answer is not usable, asked twice: {answer.problem}", usage=usage
        )
    incomplete = Rejection("asked twice, the answer is not whole", answer.problem)
    return replace(found, rejections=(*found.rejections, incomplete))


def _tag_for(passage: str) -> str:
    """A tag that the passage does not contain, so that nothing in it can pass for its end."""
    tag = "passage"
    while f"{tag}>" in passage:
        tag += "_"
    return tag


def _class_list(ontology: Ontology) -> str:
    return "\n".join(f"- {item.name}{_note(item.comment)}" for item in ontology.classes)


def _predicate_list(ontology: Ontology) -> str:
    return "\n".join(f"- {item.name} ({_sides(item, ontology)}){_note(item.comment)}" for item in ontology.properties)


def _sides(item: OntologyProperty, ontology: Ontology) -> str:
    sides = (ontology.effective_domains(item), ontology.effective_ranges(item))
    return " -> ".join(" or ".join(_name_of(iri, ontology) for iri in side) or "anything" for side in sides)


def _name_of(iri: str, ontology: Ontology) -> str:
    item = ontology.get_class(iri)
    return item.name if item else iri.rsplit("#", 1)[-1].rsplit("/", 1)[-1]


def _note(comment: str) -> str:
    first_line = comment.strip().split("\n", 1)[0][:160]
    return f": {first_line}" if first_line else ""
