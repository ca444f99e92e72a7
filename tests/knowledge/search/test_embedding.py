"""The embedding service: each text asked for once, batches kept as they come, impossible vectors refused."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from knowledge.errors import ModelAnswerInvalid, ModelUnavailable
from knowledge.ids import digest_of
from knowledge.ports import EmbeddedTexts
from knowledge.search.embedding import EmbeddingService, Vector
from tests.graphs import WordVectors


class _Known:
    def __init__(self, vectors: Mapping[str, Vector]) -> None:
        self._vectors = vectors

    def known(self, model: str, digests: Sequence[str]) -> Mapping[str, Vector]:
        return {digest: self._vectors[digest] for digest in digests if digest in self._vectors}


def _texts(*texts: str) -> dict[str, str]:
    return {digest_of(text): text for text in texts}


async def test_what_the_cache_has_is_not_asked_for() -> None:
    """Vectors are paid for once."""
    model = WordVectors()
    first = await EmbeddingService(model).embed(_texts("a cat", "a dog"))
    second = await EmbeddingService(model).embed(_texts("a cat", "a bird"), _Known(first.vectors))
    assert model.asked[-1:] == ["a bird"]
    assert len(model.asked) == 3
    assert (second.reused, second.usage.embedding_calls) == (1, 1)
    assert set(second.vectors) == set(_texts("a cat", "a bird"))


async def test_batches_are_kept_as_they_are_answered() -> None:
    """An outage in the middle leaves what was answered before it with the caller, and begins nothing more."""

    class Failing(WordVectors):
        async def embed(self, texts: Sequence[str]) -> EmbeddedTexts:
            if len(self.asked) >= 4:
                raise ModelUnavailable("embedding endpoint", "failed (503)")
            return await super().embed(texts)

    kept: dict[str, Vector] = {}

    async def keep(vectors: Mapping[str, Vector]) -> None:
        await asyncio.sleep(0)
        kept.update(vectors)

    service = EmbeddingService(Failing(), batch_texts=2)
    with pytest.raises(ModelUnavailable):
        await service.embed(_texts(*map(str, range(100))), None, keep)
    assert len(kept) == 4


@pytest.mark.parametrize("vector", [(0.5, 0.5), (0.0, 0.0), (float("nan"), 1.0)])
async def test_vectors_that_are_not_of_length_one_are_refused(vector: Vector) -> None:
    """Cosine search takes it for granted."""

    class Wrong:
        model = "wrong"

        async def embed(self, texts: Sequence[str]) -> EmbeddedTexts:
            return EmbeddedTexts(tuple(vector for _ in texts))

    with pytest.raises(ModelAnswerInvalid, match="length is not 1"):
        await EmbeddingService(Wrong()).embed(_texts("a"))
