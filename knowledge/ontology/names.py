"""Names of terms: from IRIs to words, from spellings to keys, from shared labels to unique names."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Set
from functools import lru_cache
from urllib.parse import unquote

_WORD_BOUNDARY = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[\s_-]+")
_VERSION = re.compile(r"v?[\d.]+")
_SEPARATORS = ("P", "S", "Z", "C")


def local_name(iri: str) -> str:
    """The part of an IRI after the last `#`, `/` or `:`, percent-decoded."""
    return unquote(_segments(iri)[-1])


def words_of(iri: str) -> str:
    """The words of an IRI's local name: `birthPlace` gives `birth place`, `imageURL` gives `image URL`."""
    first, *rest = [word for word in _WORD_BOUNDARY.split(local_name(iri)) if word] or [""]
    return " ".join([first, *(word if word.isupper() and len(word) > 1 else word.lower() for word in rest)])


@lru_cache(maxsize=16_384)
def fold(text: str) -> str:
    """The key under which spellings of a name meet: `birthPlace`, `Birth place` and `birth_place` are one."""
    composed = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(char for char in composed if unicodedata.category(char)[0] not in _SEPARATORS)
    return kept or composed.strip()


def unique_names(preferred: Mapping[str, str], labelled: Set[str] = frozenset()) -> dict[str, str]:
    """IRI to a name that no other IRI has, from IRI to preferred name.

    Names that differ at most in case are told apart in parentheses: by the local names, else by the names of
    the namespaces, else by the IRIs. The only one of them in `labelled` keeps the plain name.
    """
    sharing: defaultdict[str, list[str]] = defaultdict(list)
    for iri, name in preferred.items():
        sharing[name.casefold()].append(iri)
    names = dict(preferred)
    for iris in sharing.values():
        own = labelled & set(iris)
        for iri, mark in _marks(iris).items() if len(iris) > 1 else ():
            names[iri] = preferred[iri] if own == {iri} else f"{preferred[iri]} ({mark})"
    taken = set(names.values())
    return names if len(taken) == len(names) else {iri: f"{name} ({iri})" for iri, name in preferred.items()}


def _marks(iris: list[str]) -> dict[str, str]:
    for mark in (local_name, _namespace_name):
        marks = {iri: mark(iri) for iri in iris}
        if len(set(marks.values())) == len(iris):
            return marks
    return {iri: iri for iri in iris}


def _namespace_name(iri: str) -> str:
    """The last part of the IRI before the local name that is more than a version number."""
    parts = [part for part in _segments(iri)[:-1] if part and not _VERSION.fullmatch(part)]
    return parts[-1] if parts else iri


def _segments(iri: str) -> list[str]:
    return re.split(r"[#/:]", iri.rstrip("#/:"))
