"""The answering port over a chat model."""

from typing import Any

from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel, ConfigDict, ValidationError

from knowledge.answers.context import Context
from knowledge.answers.ports import Written, WrittenSentence
from knowledge.domain import Extractor, Usage
from knowledge.errors import ModelAnswerInvalid
from knowledge.models.answers import json_in
from knowledge.models.openai import ChatClient
from knowledge.models.second_chance import second_chance
from knowledge.prompts import load_prompt

ANSWER_PROMPT = "answer.v1"
_SCHEMA_NAME = "answer"
_SENTENCE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "citations": {"type": "array", "items": {"type": "string"}},
    },
    "required": ["text", "citations"],
    "additionalProperties": False,
}
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"answerable": {"type": "boolean"}, "sentences": {"type": "array", "items": _SENTENCE}},
    "required": ["answerable", "sentences"],
    "additionalProperties": False,
}


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Sentence(_Part):
    text: str
    citations: tuple[str, ...] = ()


class _Answer(_Part):
    answerable: bool
    sentences: tuple[_Sentence, ...] = ()


class ChatAnswerModel:
    """Asks one question; an answer that does not follow the schema is asked for again once."""

    def __init__(self, client: ChatClient) -> None:
        self._client = client

    @property
    def by(self) -> Extractor:
        """Who writes: model, settings and prompt."""
        settings = f"temperature={self._client.temperature}"
        return Extractor("chat", self._client.model, load_prompt(ANSWER_PROMPT).reference, settings)

    async def write(self, question: str, context: Context) -> Written:
        """The answer to the question, from the context's items; sentences without text are left out."""
        prompt = load_prompt(ANSWER_PROMPT)
        asked = prompt.fill(items="\n".join(context.lines), question=question)
        messages: list[ChatCompletionMessageParam] = [
            {"role": "system", "content": prompt.system},
            {"role": "user", "content": asked},
        ]
        usage, problem = Usage(), ""
        for _ in range(2):
            answer = await self._client.ask(messages, _SCHEMA_NAME, _SCHEMA)
            usage += answer.usage
            try:
                return _written(_Answer.model_validate(json_in(answer.text)), usage)
            except ValidationError as error:
                problem = "it was cut off" if not answer.complete else str(error.errors(include_url=False)[0]["msg"])
            messages = [*messages[:2], *second_chance(answer.text, problem)]
        raise ModelAnswerInvalid("chat endpoint", f"the answer is not usable, asked twice: {problem}", usage=usage)


def _written(answer: _Answer, usage: Usage) -> Written:
    if not answer.answerable:
        return Written((), usage)
    return Written(
        tuple(WrittenSentence(s.text.strip(), s.citations) for s in answer.sentences if s.text.strip()), usage
    )
