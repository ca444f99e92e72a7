"""The embedding service: vectors of texts, each distinct text asked for once, and never two kinds in one index."""

import asyncio
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from knowledge.domain import Usage
from knowledge.errors import KnowledgeError, ModelAnswerInvalid
from knowledge.ids import OrganizationId
from knowledge.ports import EmbeddingModel

Vector = tuple[float, ...]
BATCH_TEXTS = 64
_UNIT_TOLERANCE = 1e-3


@dataclass(frozen=True, slots=True)
class IndexedModel:
    """A model whose vectors an organisation's index holds, over how many segments; `complete` when over all."""

    model: str
    dimensions: int
    segments: int
    complete: bool


class IndexRefused(KnowledgeError):
    """The index holds vectors that the configured model's cannot be compared with."""

    def __init__(self, organization_id: OrganizationId, present: Sequence[IndexedModel], wanted: str) -> None:
        held = " and ".join(f"{one.model} ({one.dimensions} dimensions)" for one in present)
        super().__init__(
            f"the search index of organisation {organization_id!r} holds vectors of {held}, and the configured "
            f"embedding model is {wanted}: configure that model again, or embed everything anew with "
            f"`knowledge index --organization {organization_id} --reembed`"
        )
        self.organization_id = organization_id
        self.wanted = wanted


class IndexMissing(KnowledgeError):
    """Nothing of the organisation is indexed."""

    def __init__(self, organization_id: OrganizationId) -> None:
        super().__init__(
            f"organisation {organization_id!r} has nothing to search in: extract documents with `knowledge run`, "
            f"then `knowledge index --organization {organization_id}`"
        )


class VectorCache(Protocol):
    """Vectors that are there already, by the digest of their text."""

    def known(self, model: str, digests: Sequence[str]) -> Mapping[str, Vector]:
        """The vectors under `model` of those texts that have one."""
        ...


@dataclass(frozen=True, slots=True)
class Embedded:
    """`vectors` by text digest; `usage` counts what was asked, `reused` the texts that needed no asking."""

    vectors: Mapping[str, Vector]
    usage: Usage
    reused: int


class EmbeddingService:
    """Embeds texts in batches, each distinct text once, whatever the cache does not have already.

    How many calls are in flight is the model's own boundary's business (5 permits over all processes).
    """

    def __init__(self, model: EmbeddingModel, *, batch_texts: int = BATCH_TEXTS) -> None:
        self._model = model
        self._batch_texts = batch_texts

    @property
    def model(self) -> str:
        """The model's name: vectors of another are not comparable."""
        return self._model.model

    async def embed(
        self,
        texts: Mapping[str, str],
        cache: VectorCache | None = None,
        keep: Callable[[Mapping[str, Vector]], Awaitable[None]] | None = None,
    ) -> Embedded:
        """The L2-normalised vector of each text in `texts` (digest to text).

        `keep` is told of each batch as it is answered, so that the caller can store it before the next is asked.

        Raises:
            ModelError: the model did not answer, or not with unit vectors of one dimension.
        """
        found = dict(await asyncio.to_thread(cache.known, self.model, sorted(texts))) if cache else {}
        reused = len(found)
        missing = sorted(set(texts) - set(found))
        batches = [missing[n : n + self._batch_texts] for n in range(0, len(missing), self._batch_texts)]
        usage = Usage()
        for answered, spent in await _all(lambda batch: self._batch(batch, texts, keep), batches):
            found |= answered
            usage += spent
        dimensions = {len(vector) for vector in found.values()}
        if len(dimensions) > 1:
            raise ModelAnswerInvalid(self.model, f"vectors of {sorted(dimensions)} dimensions under one name")
        return Embedded(found, usage, reused)

    async def embed_question(self, *texts: str) -> tuple[Vector, ...]:
        """The vectors of a few texts, in their order, in one call."""
        return (await self._model.embed(texts)).vectors

    async def _batch(
        self,
        digests: Sequence[str],
        texts: Mapping[str, str],
        keep: Callable[[Mapping[str, Vector]], Awaitable[None]] | None,
    ) -> tuple[dict[str, Vector], Usage]:
        answer = await self._model.embed([texts[digest] for digest in digests])
        for vector in answer.vectors:
            if not math.isclose(math.hypot(*vector), 1.0, abs_tol=_UNIT_TOLERANCE):
                raise ModelAnswerInvalid(self.model, "a vector whose length is not 1")
        found = dict(zip(digests, answer.vectors, strict=True))
        if keep is not None:
            await keep(found)
        return found, answer.usage


Outcome = TypeVar("Outcome")
_IN_FLIGHT = 8  # batches; more than there are permits, so that a permit never waits for us


async def _all(
    work: Callable[[Sequence[str]], Awaitable[Outcome]], batches: Sequence[Sequence[str]]
) -> Sequence[Outcome]:
    """The outcomes, a bounded number at once. After an error nothing more is begun, and what is under way is kept."""
    waiting = iter(batches)
    done: list[Outcome] = []
    errors: list[KnowledgeError] = []

    async def worker() -> None:
        for batch in waiting:
            if errors:
                return
            try:
                done.append(await work(batch))
            except KnowledgeError as error:
                errors.append(error)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(_IN_FLIGHT, len(batches))):
            group.create_task(worker())
    if errors:
        raise errors[0]
    return done
