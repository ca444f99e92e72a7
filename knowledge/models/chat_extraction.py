"""The extraction port over a chat model: a versioned prompt, an answer that is checked, one second chance."""

from openai.types.chat import ChatCompletionMessageParam

from knowledge.domain import Extractor, Reading, Rejection, Usage
from knowledge.errors import ModelAnswerInvalid
from knowledge.models.answers import PassageAnswer, parse_answer, passage_schema
from knowledge.models.openai import ChatClient
from knowledge.models.readings import Findings, read_answer
from knowledge.ontology import Ontology, OntologyProperty
from knowledge.prompts import load_prompt

PROMPT = "passage.v1"
# Raise it when what is made of an answer changes.
READING_VERSION = "1"
_LONGEST_ECHO = 4000


class ChatExtractionModel:
    """Asks one question for each passage; what is not usable is asked for again once, with the reason."""

    def __init__(self, client: ChatClient) -> None:
        self._client = client

    @property
    def extractor(self) -> Extractor:
        """Who answers."""
        settings = f"temperature={self._client.temperature} reading={READING_VERSION}"
        return Extractor("chat", self._client.model, load_prompt(PROMPT).reference, settings)

    async def read(self, passage: str, ontology: Ontology) -> Reading:
        """What the model finds in the passage, each item at its place; the rest is rejected with the reason.

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
        usage, attempts = first.usage, [(answer, read_answer(passage, answer, ontology))]
        if answer.problem:
            again = await self._client.ask([*messages, *_second_chance(first.text, answer)], "passage", schema)
            answer = parse_answer(again.text, complete=again.complete)
            usage += again.usage
            attempts.append((answer, read_answer(passage, answer, ontology)))
        found = _better(attempts, usage)
        return Reading(found.mentions, found.entities, found.relations, self.extractor, usage, found.rejections)


def _better(attempts: list[tuple[PassageAnswer, Findings]], usage: Usage) -> Findings:
    """The findings of the answer that says more, and of the whole one if both say as much."""
    answer, found = max(attempts, key=lambda a: (len(a[1].relations) + len(a[1].entities), not a[0].problem))
    if not answer.problem:
        return found
    if not found.entities:
        raise ModelAnswerInvalid(
            "chat endpoint", f"the answer is not usable, asked twice: {answer.problem}", usage=usage
        )
    return found.noting(Rejection("asked twice, the answer is not whole", answer.problem))


def _second_chance(text: str, answer: PassageAnswer) -> tuple[ChatCompletionMessageParam, ...]:
    return (
        {"role": "assistant", "content": _echo(text) or "(nothing)"},
        {
            "role": "user",
            "content": f"That answer cannot be used as it is: {answer.problem}. Answer again, with the whole JSON "
            "that follows the schema and nothing else.",
        },
    )


def _echo(text: str) -> str:
    """The beginning of an answer, as it can be sent: a model that rambles is not paid for reading all of it again."""
    return text[:_LONGEST_ECHO].encode("utf-8", "replace").decode()


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
