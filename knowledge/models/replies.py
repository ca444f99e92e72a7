"""Reading the replies of OpenAI-compatible endpoints from their bytes.

The SDK builds its objects without looking. What a proxy, another API or a careless server sends with a status of 200
is found out here, before anything is made of it.
"""

import math
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from operator import mul
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, FiniteFloat, ValidationError

from knowledge.domain import Usage
from knowledge.errors import ModelReplyUnreadable
from knowledge.ports import EmbeddedTexts

_NOT_THE_API = "answered something that is not of its API"
_HINT = "check the base URL, and proxies on the way"


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """What a chat model said. `complete` is false when the endpoint cut the answer off or filtered it."""

    text: str
    complete: bool
    usage: Usage = field(default_factory=Usage)


def _count(value: object) -> object:
    """A number of tokens; one that cannot be read is not known, and no reason to throw the answer away."""
    return value if isinstance(value, int) and value >= 0 else 0


class _Tokens(BaseModel):
    prompt_tokens: Annotated[int, BeforeValidator(_count)] = 0
    completion_tokens: Annotated[int, BeforeValidator(_count)] = 0


def _known(value: object) -> object:
    return value if isinstance(value, Mapping) else _Tokens()  # pyright: ignore[reportUnknownVariableType]


_Usage = Annotated[_Tokens, BeforeValidator(_known)]


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message | None = None
    finish_reason: str | None = None


class _ChatReply(BaseModel):
    choices: list[_Choice]
    usage: _Usage = _Tokens()


class _Row(BaseModel):
    index: int
    embedding: list[FiniteFloat]


class _EmbeddingsReply(BaseModel):
    data: list[_Row]
    usage: _Usage = _Tokens()


def read_chat_reply(content: bytes) -> ChatAnswer:
    """The answer in a chat completion; an empty, incomplete one if it has none.

    Raises:
        ModelReplyUnreadable: it is no chat completion.
    """
    try:
        reply = _ChatReply.model_validate_json(content)
    except ValidationError as error:
        raise _unreadable("chat endpoint", error) from error
    usage = Usage(1, 0, reply.usage.prompt_tokens, reply.usage.completion_tokens)
    choice = reply.choices[0] if reply.choices else _Choice()
    text = choice.message.content if choice.message is not None else None
    return ChatAnswer(text or "", text is not None and choice.finish_reason == "stop", usage)


def read_embeddings_reply(content: bytes, texts: int) -> EmbeddedTexts:
    """One L2-normalised vector for each of so many texts, in their order, whatever the order of the reply.

    Raises:
        ModelReplyUnreadable: it is no such reply: not one vector for each text, vectors of several dimensions,
            or ones without a direction.
    """
    try:
        reply = _EmbeddingsReply.model_validate_json(content)
    except ValidationError as error:
        raise _unreadable("embedding endpoint", error) from error
    rows = sorted(reply.data, key=lambda row: row.index)
    if [row.index for row in rows] != list(range(texts)):
        raise _unreadable("embedding endpoint", f"{len(rows)} vectors, or misnumbered ones, for {texts} texts")
    if len({len(row.embedding) for row in rows}) > 1:
        raise _unreadable("embedding endpoint", "vectors of several dimensions")
    vectors = tuple(_normalised(row.embedding) for row in rows)
    return EmbeddedTexts(vectors, Usage(embedding_calls=1, input_tokens=reply.usage.prompt_tokens))


def _normalised(vector: Sequence[float]) -> tuple[float, ...]:
    norm = math.sqrt(math.fsum(map(mul, vector, vector)))
    if not 0 < norm < math.inf:
        raise _unreadable("embedding endpoint", "a vector without a direction")
    # Rounded to 4-byte floats, which is what is stored: a graph read back is the graph that was found.
    return tuple(array("f", [value / norm for value in vector]))


def _unreadable(endpoint: str, problem: ValidationError | str) -> ModelReplyUnreadable:
    if isinstance(problem, ValidationError):
        first = problem.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        problem = f"{first['msg']}{f' at {place}' if place else ''}"
    return ModelReplyUnreadable(endpoint, f"{_NOT_THE_API} ({problem[:200]}): {_HINT}")
