"""The extraction port over a chat model: versioned prompts, validated answers, one second chance."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from openai.types.chat import ChatCompletionMessageParam
from pydantic import ValidationError

from knowledge.domain import (
    Extractor,
    FoundEntities,
    FoundEntity,
    FoundMention,
    FoundMentions,
    FoundRelations,
    Usage,
)
from knowledge.errors import ModelAnswerInvalid
from knowledge.models import answers, readings
from knowledge.models.openai import ChatClient
from knowledge.ontology import Ontology, OntologyProperty
from knowledge.prompts import Prompt, load_prompt

MENTIONS_PROMPT = "mentions.v1"
ENTITIES_PROMPT = "entities.v1"
RELATIONS_PROMPT = "relations.v1"
_LONGEST_ECHO = 4000


class ChatExtractionModel:
    """Asks one question for each stage and passage; an invalid answer is asked for again once, with the error."""

    def __init__(self, client: ChatClient) -> None:
        self._client = client

    @property
    def mentions_by(self) -> Extractor:
        """Who answers `find_mentions`."""
        return self._extractor(MENTIONS_PROMPT)

    @property
    def entities_by(self) -> Extractor:
        """Who answers `find_entities`."""
        return self._extractor(ENTITIES_PROMPT)

    @property
    def relations_by(self) -> Extractor:
        """Who answers `find_relations`."""
        return self._extractor(RELATIONS_PROMPT)

    def _extractor(self, prompt_name: str) -> Extractor:
        settings = f"temperature={self._client.temperature}"
        return Extractor("chat", self._client.model, load_prompt(prompt_name).reference, settings)

    async def find_mentions(self, text: str, ontology: Ontology) -> FoundMentions:
        """The passage's mentions, each placed where the passage has it."""
        prompt = load_prompt(MENTIONS_PROMPT)
        question = prompt.fill(classes=_class_list(ontology), passage=text)
        answer, usage = await self._ask(prompt, question, answers.mentions_schema(), answers.MentionsAnswer)
        found, rejections = readings.read_mentions(text, answer)
        return FoundMentions(found, self.mentions_by, usage, rejections)

    async def find_entities(self, text: str, mentions: tuple[FoundMention, ...], ontology: Ontology) -> FoundEntities:
        """The things that the mentions mean; without mentions nothing is asked."""
        if not mentions:
            return FoundEntities((), self.entities_by)
        prompt = load_prompt(ENTITIES_PROMPT)
        listing = [
            {"id": n, "text": mention.text, "start": mention.span.start} for n, mention in enumerate(mentions, 1)
        ]
        question = prompt.fill(classes=_class_list(ontology), passage=text, mentions=_json_lines(listing))
        answer, usage = await self._ask(prompt, question, answers.entities_schema(ontology), answers.EntitiesAnswer)
        found, rejections = readings.read_entities(mentions, answer, ontology)
        return FoundEntities(found, self.entities_by, usage, rejections)

    async def find_relations(
        self,
        text: str,
        mentions: tuple[FoundMention, ...],
        entities: tuple[FoundEntity, ...],
        ontology: Ontology,
    ) -> FoundRelations:
        """The facts about the entities; without entities or predicates nothing is asked."""
        if not entities or not ontology.properties:
            return FoundRelations((), self.relations_by)
        prompt = load_prompt(RELATIONS_PROMPT)
        listing = [
            {"id": f"e{n}", "name": entity.name, "types": _class_names(entity, ontology)}
            for n, entity in enumerate(entities, 1)
        ]
        question = prompt.fill(predicates=_predicate_list(ontology), passage=text, entities=_json_lines(listing))
        answer, usage = await self._ask(prompt, question, answers.relations_schema(ontology), answers.RelationsAnswer)
        found, rejections = readings.read_relations(text, entities, answer, ontology)
        return FoundRelations(found, self.relations_by, usage, rejections)

    async def _ask(
        self,
        prompt: Prompt,
        question: str,
        schema: dict[str, Any],
        kind: type[answers.Answer],
    ) -> tuple[answers.Answer, Usage]:
        messages: list[ChatCompletionMessageParam] = [
            {"role": "system", "content": prompt.system},
            {"role": "user", "content": question},
        ]
        name = prompt.name.split(".")[0]
        usage = Usage()
        problem = ""
        for _ in range(2):
            answer = await self._client.ask(messages, name, schema)
            usage += answer.usage
            try:
                return kind.model_validate_json(readings.json_part(answer.text)), usage
            except ValidationError as error:
                problem = "the answer was cut off" if not answer.complete else _validation_problem(error)
            messages = [*messages[:2], *_second_chance(answer.text, problem)]
        raise ModelAnswerInvalid(
            "chat endpoint", f"the {name} answer is not usable, asked twice: {problem}", usage=usage
        )


def _second_chance(text: str, problem: str) -> tuple[ChatCompletionMessageParam, ...]:
    return (
        {"role": "assistant", "content": _echo(text) or "(nothing)"},
        {
            "role": "user",
            "content": f"That answer cannot be used: {problem}. Answer again, with JSON that follows the "
            "schema and nothing else.",
        },
    )


def _echo(text: str) -> str:
    """The beginning of an answer, as it can be sent: a model that rambles is not paid for reading all of it again."""
    return text[:_LONGEST_ECHO].encode("utf-8", "replace").decode()


def _validation_problem(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "the whole answer"
    return f"{first['msg']} (at {place})"


def _class_list(ontology: Ontology) -> str:
    return "\n".join(f"- {item.name}{_note(item.comment)}" for item in ontology.classes)


def _class_names(entity: FoundEntity, ontology: Ontology) -> list[str]:
    return [_name_of(iri, ontology) for iri in entity.classes]


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


def _json_lines(items: Sequence[Mapping[str, object]]) -> str:
    return "\n".join(json.dumps(item, ensure_ascii=False) for item in items)
