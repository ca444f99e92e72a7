"""Clients of OpenAI-compatible endpoints. SDK errors are translated here, and nowhere else."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import httpx2 as httpx
import openai
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletionMessageParam

from knowledge.errors import (
    ModelAccessRefused,
    ModelError,
    ModelReplyUnreadable,
    ModelRequestRefused,
    ModelThrottled,
    ModelUnavailable,
)
from knowledge.models.boundary import ModelBoundary
from knowledge.models.journal import AnswerJournal
from knowledge.models.journaling import JournalingTransport
from knowledge.models.replies import ChatAnswer, read_chat_reply, read_embeddings_reply
from knowledge.models.retry_after import retry_after_seconds
from knowledge.models.wire import WireTransport, certificate_store
from knowledge.ports import EmbeddedTexts
from knowledge.settings import EndpointSettings

_NO_KEY = "none"  # the SDK insists on one; endpoints without keys ignore it
# The SDK's own: bounds are set by permits, not by the number of connections.
_LIMITS = httpx.Limits(max_connections=1000, max_keepalive_connections=100)
_ACCESS_STATUSES = {401, 402, 403, 404, 405}
_RETRYABLE_STATUSES = {408, 409, 425}
# Estimates for the token rate, corrected by what answers say they cost.
_CHARACTERS_OF_A_TOKEN = 4
_FIRST_ANSWER_TOKENS = 500.0
_ANSWERS_REMEMBERED = 10


class ChatClient:
    """Asks a chat endpoint for JSON that follows a schema."""

    def __init__(
        self, settings: EndpointSettings, boundary: ModelBoundary, journal: AnswerJournal | None = None
    ) -> None:
        self.model = settings.model
        self.temperature = settings.temperature
        self._client = _sdk_client(settings, journal)
        self._boundary = boundary
        self._answer_tokens = _FIRST_ANSWER_TOKENS

    async def ask(
        self, messages: Sequence[ChatCompletionMessageParam], schema_name: str, schema: dict[str, Any]
    ) -> ChatAnswer:
        """The endpoint's answer, not validated.

        Raises:
            ModelError: one of its leaves, by what went wrong.
        """
        tokens = self._likely_tokens(messages)
        answer = await self._boundary.call(lambda: self._ask(messages, schema_name, schema), tokens)
        self._answer_tokens += (answer.usage.output_tokens - self._answer_tokens) / _ANSWERS_REMEMBERED
        return answer

    def _likely_tokens(self, messages: Sequence[ChatCompletionMessageParam]) -> int:
        """What a question will cost, before it is asked: its own length, and what answers have cost of late."""
        characters = sum(len(str(message.get("content"))) for message in messages)
        return round(characters / _CHARACTERS_OF_A_TOKEN + self._answer_tokens)

    async def _ask(
        self, messages: Sequence[ChatCompletionMessageParam], schema_name: str, schema: dict[str, Any]
    ) -> ChatAnswer:
        async with _translated("chat endpoint"):
            reply = await self._client.post(
                "/chat/completions", cast_to=httpx.Response, body=self._body(messages, schema_name, schema)
            )
        return read_chat_reply(reply.content)

    def _body(
        self, messages: Sequence[ChatCompletionMessageParam], schema_name: str, schema: dict[str, Any]
    ) -> dict[str, Any]:
        # As the endpoint wants it: the SDK's own method would walk through it, looking for something to translate.
        wanted = {"name": schema_name, "schema": schema, "strict": True}
        return {
            "model": self.model,
            "messages": list(messages),
            **({} if self.temperature is None else {"temperature": self.temperature}),
            "response_format": {"type": "json_schema", "json_schema": wanted},
        }

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
        tokens = round(sum(len(text) for text in texts) / _CHARACTERS_OF_A_TOKEN)
        return await self._boundary.call(lambda: self._embed(texts), tokens)

    async def _embed(self, texts: Sequence[str]) -> EmbeddedTexts:
        async with _translated("embedding endpoint"):
            reply = await self._client.post(
                "/embeddings",
                cast_to=httpx.Response,
                body={"model": self._model, "input": list(texts), "encoding_format": "float"},
            )
        return read_embeddings_reply(reply.content, len(texts))

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._client.close()


def _sdk_client(settings: EndpointSettings, journal: AnswerJournal | None) -> AsyncOpenAI:
    key = settings.api_key.get_secret_value() if settings.api_key else _NO_KEY
    transport = None if journal is None else JournalingTransport(journal, WireTransport(_LIMITS))
    return AsyncOpenAI(
        base_url=settings.base_url,
        api_key=key,
        max_retries=0,
        timeout=settings.timeout_seconds,
        http_client=openai.DefaultAsyncHttpxClient(transport=transport, verify=certificate_store()),
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
    except (openai.APIError, ValueError, RecursionError) as error:
        raise ModelReplyUnreadable(endpoint, f"answered something that is not of its API ({error})") from error


def _status_error(endpoint: str, error: openai.APIStatusError) -> ModelError:
    status = error.status_code
    if status == 429 and error.code != "insufficient_quota":
        return ModelThrottled(
            endpoint,
            "is throttling us (429)",
            retry_after_seconds=retry_after_seconds(error.response.headers, error.body, datetime.now(UTC)),
        )
    if status == 429 or status in _ACCESS_STATUSES:
        return ModelAccessRefused(
            endpoint,
            f"refuses us ({status}: {error.message}); check the base URL, the key and the model's name",
        )
    if status >= 500 or status in _RETRYABLE_STATUSES:
        return ModelUnavailable(endpoint, f"failed ({status})")
    return ModelRequestRefused(endpoint, f"refuses this request ({status}: {error.message})")
