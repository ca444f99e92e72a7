"""The embedded embedding model: real vectors from the real weights."""

import math

import pytest

from knowledge.errors import ConfigurationError
from knowledge.models.embedded import EmbeddedEmbeddingModel, loading


@pytest.fixture(scope="module")
def model() -> EmbeddedEmbeddingModel:
    return EmbeddedEmbeddingModel()


def _cosine(left: tuple[float, ...], right: tuple[float, ...]) -> float:
    return sum(a * b for a, b in zip(left, right, strict=True))


async def test_there_is_one_normalised_vector_for_each_text_in_order(model: EmbeddedEmbeddingModel) -> None:
    """Callers pair vectors with their texts by place, whatever batches were made of them."""
    texts = [f"a text that is {'very ' * n}long" for n in (30, 1, 12, 0, 5, 20, 3, 2, 9, 1)]
    found = await model.embed(texts)
    assert [len(v) for v in found.vectors] == [384] * len(texts)
    assert all(math.isclose(math.hypot(*v), 1.0, abs_tol=1e-5) for v in found.vectors)
    for text, vector in zip(texts, found.vectors, strict=True):
        alone = (await model.embed([text])).vectors[0]
        assert _cosine(vector, alone) > 0.99
    assert found.vectors[1] == found.vectors[9]


async def test_texts_that_mean_the_same_are_closer_than_others(model: EmbeddedEmbeddingModel) -> None:
    """A wrong tokenizer or pooling still gives unit vectors, but not this."""
    found = await model.embed(
        ["A cat sits on the mat.", "A kitten is sitting on the rug.", "Interest rates rose again."]
    )
    near, far = _cosine(found.vectors[0], found.vectors[1]), _cosine(found.vectors[0], found.vectors[2])
    assert near > 0.5 > far


async def test_the_same_texts_give_the_same_vectors(model: EmbeddedEmbeddingModel) -> None:
    """Stored vectors and fresh ones must agree to the last bit."""
    texts = ["Marie Curie", "radium", "Marie Curie"]
    first = await model.embed(texts)
    assert first == await EmbeddedEmbeddingModel().embed(texts)
    assert first.vectors[0] == first.vectors[2]


async def test_no_texts_cost_no_call(model: EmbeddedEmbeddingModel) -> None:
    """The statistics count calls that had something to do."""
    nothing = await model.embed([])
    assert nothing.vectors == ()
    assert nothing.usage.embedding_calls == 0
    assert (await model.embed(["one", "two"])).usage.embedding_calls == 1


async def test_a_text_longer_than_the_model_reads_and_an_empty_one_get_vectors(model: EmbeddedEmbeddingModel) -> None:
    """No text may break a batch."""
    found = await model.embed(["word " * 5000, ""])
    assert all(math.isclose(math.hypot(*v), 1.0, abs_tol=1e-5) for v in found.vectors)


def test_the_model_is_named_with_its_version(model: EmbeddedEmbeddingModel) -> None:
    """Vectors of different weights must never be compared."""
    assert model.model == "all-MiniLM-L6-v2-onnx-int8 1.0.0"


def test_a_missing_package_is_named_with_its_cure() -> None:
    """A production image may leave the extra out; then the message must say what to install."""
    with pytest.raises(ConfigurationError, match="embedded"):
        loading.required("a_package_that_is_not_there")
    with pytest.raises(ConfigurationError, match="embedded"):
        loading.version_of("a-distribution-that-is-not-there")
