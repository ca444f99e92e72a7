"""Names of terms: from IRIs to words, from spellings to keys, from shared labels to unique names."""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache
from urllib.parse import unquote

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[^\W\d_A-Z]+|\d+[a-z]*|[^\W_]+")
_SEPARATORS = ("P", "S", "Z", "C")


def local_name(iri: str) -> str:
    """The part of an IRI after the last `#`, `/` or `:`, percent-decoded."""
    return unquote(re.split(r"[#/:]", iri.rstrip("#/:"))[-1])


def words_of(iri: str) -> str:
    """The words of an IRI's local name: `birthPlace` gives `birth place`, `URLOfImage` gives `URL of image`."""
    first, *rest = _WORD.findall(local_name(iri)) or [local_name(iri)]
    return " ".join([first, *(word if word.isupper() and len(word) > 1 else word.lower() for word in rest)])


@lru_cache(maxsize=16_384)
def fold(text: str) -> str:
    """The key under which spellings of a name meet: `birthPlace`, `Birth place` and `birth_place` are one."""
    composed = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(char for char in composed if unicodedata.category(char)[0] not in _SEPARATORS)
    return kept or composed.strip()


def unique_names(preferred: Mapping[str, str]) -> dict[str, str]:
    """IRI to a name that no other IRI has, from IRI to preferred name.

    Names that differ at most in case are told apart by the local name in parentheses, else by the whole IRI.
    """
    names = _told_apart(dict(preferred), lambda iri: local_name(iri))
    return _told_apart(names, lambda iri: iri)


def _told_apart(names: dict[str, str], mark: Callable[[str], str]) -> dict[str, str]:
    uses = Counter(name.casefold() for name in names.values())
    return {
        iri: name if uses[name.casefold()] == 1 else f"{name} ({mark(iri)})" for iri, name in names.items()
    }
