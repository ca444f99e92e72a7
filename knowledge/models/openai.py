"""Clients of OpenAI-compatible endpoints. SDK errors are translated here, and nowhere else."""

import math
from array import array
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2 as httpx
import openai
from openai import AsyncOpenAI
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam

from knowledge.domain import Usage
from knowledge.errors import (
    ModelAccessRefused,
    ModelAnswerInvalid,
    ModelError,
    ModelRequestRefused,
    ModelThrottled,
    ModelUnavailable,
)
from knowledge.models.boundary import ModelBoundary
from knowledge.models.journal import AnswerJournal
from knowledge.models.journaling import JournalingTransport
from knowledge.models.wire import WireTransport
from knowledge.ports import EmbeddedTexts
from knowledge.settings import EndpointSettings

_NO_KEY = "none"  # the SDK insists on one; endpoints without keys ignore it
# The SDK's own: bounds are set by permits, not by the number of connections.
_LIMITS = httpx.Limits(max_connections=1000, max_keepalive_connections=100)
_ACCESS_STATUSES = {401, 402, 403, 404, 405}
_RETRYABLE_STATUSES = {408, 409, 425}


@dataclass(frozen=True, slots=True)
class ChatAnswer:
    """What a chat model said. `complete` is false when the endpoint cut the answer off or filtered it."""

    text: str
    complete: bool
    usage: Usage = field(default_factory=Usage)


class ChatClient:
    """Asks a chat endpoint for JSON that follows a schema."""

    def __init__(
        self, settings: EndpointSettings, boundary: ModelBoundary, journal: AnswerJournal | None = None
    ) -> None:
        self.model = settings.model
        self.temperature = settings.temperature
        self._client = _sdk_client(settings, journal)
        self._boundary = boundary

    async def ask(
        self, messages: Sequence[ChatCompletionMessageParam], schema_name: str, schema: dict[str, Any]
    ) -> ChatAnswer:
        """The endpoint's answer, not validated.

        Raises:
            ModelError: one of its leaves, by what went wrong.
        """
        return await self._boundary.call(lambda: self._ask(messages, schema_name, schema))

    async def _ask(
        self, messages: Sequence[ChatCompletionMessageParam], schema_name: str, schema: dict[str, Any]
    ) -> ChatAnswer:
        async with _translated("chat endpoint"):
            completion = await self._client.chat.completions.create(
                model=self.model,
                messages=list(messages),
                temperature=openai.omit if self.temperature is None else self.temperature,
                response_format={
                    "type": "json_schema",
                    "json_schema": {"name": schema_name, "schema": schema, "strict": True},
                },
            )
        return _chat_answer(completion)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.close()


class OpenAIEmbeddingModel:
    """The embedding port over an OpenAI-compatible endpoint."""

    def __init__(
        self, settings: EndpointSettings, boundary: ModelBoundary, journal: AnswerJournal | None = None
    ) -> None:
        self._model = settings.model
        self._client = _sdk_client(settings, journal)
        self._boundary = boundary

    @property
    def model(self) -> str:
        """The model's name, as the endpoint knows it."""
        return self._model

    async def embed(self, texts: Sequence[str]) -> EmbeddedTexts:
        """One L2-normalised vector for each text, whatever the endpoint normalises; one call for all texts."""
        if not texts:
            return EmbeddedTexts(())
        return await self._boundary.call(lambda: self._embed(texts))

    async def _embed(self, texts: Sequence[str]) -> EmbeddedTexts:
        async with _translated("embedding endpoint"):
            response = await self._client.embeddings.create(
                model=self._model, input=list(texts), encoding_format="float"
            )
        if not isinstance(response, CreateEmbeddingResponse):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ModelUnavailable("embedding endpoint", "answered something that is not the API's")
        if len(response.data) != len(texts):
            raise ModelAnswerInvalid(
                "embedding endpoint", f"answered {len(response.data)} vectors for {len(texts)} texts"
            )
        rows = sorted(response.data, key=lambda row: row.index)
        usage = Usage(embedding_calls=1, input_tokens=response.usage.prompt_tokens if response.usage else 0)
        return EmbeddedTexts(tuple(_normalised(row.embedding) for row in rows), usage)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.close()


def _chat_answer(completion: ChatCompletion) -> ChatAnswer:
    """The SDK builds its objects without looking: what a proxy's error page or another API gives is found out here."""
    try:
        tokens = completion.usage
        usage = Usage(
            model_calls=1,
            input_tokens=tokens.prompt_tokens if tokens else 0,
            output_tokens=tokens.completion_tokens if tokens else 0,
        )
        if not completion.choices:
            return ChatAnswer("", complete=False, usage=usage)
        choice = completion.choices[0]
        return ChatAnswer(choice.message.content or "", choice.finish_reason == "stop", usage)
    except (AttributeError, TypeError) as error:
        raise ModelUnavailable("chat endpoint", "answered something that is not the API's") from error


def _sdk_client(settings: EndpointSettings, journal: AnswerJournal | None) -> AsyncOpenAI:
    key = settings.api_key.get_secret_value() if settings.api_key else _NO_KEY
    transport = None if journal is None else JournalingTransport(journal, WireTransport(_LIMITS))
    return AsyncOpenAI(
        base_url=settings.base_url,
        api_key=key,
        max_retries=0,
        timeout=settings.timeout_seconds,
        http_client=None if transport is None else openai.DefaultAsyncHttpxClient(transport=transport),
    )


@asynccontextmanager
async def _translated(endpoint: str) -> AsyncGenerator[None]:
    try:
        yield
    except openai.APITimeoutError as error:
        raise ModelUnavailable(endpoint, "gave no answer in time") from error
    except openai.APIConnectionError as error:
        raise ModelUnavailable(endpoint, f"could not be reached ({error.__cause__ or error})") from error
    except openai.APIStatusError as error:
        raise _status_error(endpoint, error) from error
    except (openai.APIError, ValueError) as error:
        raise ModelUnavailable(endpoint, f"answered something that is not the API's ({error})") from error


def _status_error(endpoint: str, error: openai.APIStatusError) -> ModelError:
    status = error.status_code
    if status == 429 and error.code != "insufficient_quota":
        return ModelThrottled(
            endpoint,
            "is throttling us (429)",
            retry_after_seconds=_retry_after_seconds(error, datetime.now(UTC)),
        )
    if status == 429 or status in _ACCESS_STATUSES:
        return ModelAccessRefused(
            endpoint,
            f"refuses us ({status}: {error.message}); check the base URL, the key and the model's name",
        )
    if status >= 500 or status in _RETRYABLE_STATUSES:
        return ModelUnavailable(endpoint, f"failed ({status})")
    return ModelRequestRefused(endpoint, f"refuses this request ({status}: {error.message})")


def _retry_after_seconds(error: openai.APIStatusError, now: datetime) -> float | None:
    """The `Retry-After` header, which is a number of seconds or an HTTP date."""
    value = error.response.headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (ValueError, TypeError):
        return None


def _normalised(vector: Sequence[float]) -> tuple[float, ...]:
    norm = math.sqrt(sum(value * value for value in vector)) or 1.0
    # Rounded to 4-byte floats, which is what is stored: a graph read back is the graph that was found.
    return tuple(array("f", (value / norm for value in vector)))
