"""Which mentions of a passage name the same thing, by string rules: names alone decide, never resemblance."""

import re
from collections.abc import Sequence

from knowledge.models.embedded.lexicon import countries, nationalities, word_set

_DROPPED = re.compile(r"'s$|^the\s+|[\"“”]", re.IGNORECASE)
_ACRONYM = re.compile(r"[A-Z][A-Z.]*[A-Z]\.?")
_PLACE_LABELS = frozenset({"GPE", "LOC", "FAC", "NORP"})
_SMALL_WORDS = frozenset(["of", "the", "and", "for", "in", "de", "la", "du"])


def cluster(names: Sequence[tuple[str, str]]) -> list[list[int]]:
    """Indexes of `names` (text, OntoNotes label or empty) that name the same thing, in order of first mention.

    Equal but for articles, possessives and company suffixes; a country and its adjective; an acronym and the
    one long form with its initials; the surname (or a part) of the one person whose fuller name has it, or of
    the person whom the passage names first, where several have it.
    """
    keys = [_key(text, label) for text, label in names]
    groups: dict[str, list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(key, []).append(index)
    target = {key: key for key in groups}
    for key, indexes in groups.items():
        text, label = names[indexes[0]]
        fuller = _fuller(text, key, label, names, groups)
        if fuller is not None:
            target[key] = fuller
    merged: dict[str, list[int]] = {}
    for key, indexes in groups.items():
        merged.setdefault(_root(key, target), []).extend(indexes)
    return sorted((sorted(indexes) for indexes in merged.values()), key=lambda indexes: indexes[0])


def _root(key: str, target: dict[str, str]) -> str:
    seen = {key}
    while target[key] != key and target[key] not in seen:
        key = target[key]
        seen.add(key)
    return key


def plain(text: str) -> str:
    """A name without article, quotation marks and possessive ending, in single spaces."""
    text = " ".join(text.replace("’", "'").split())
    previous = ""
    while previous != text:
        previous, text = text, _DROPPED.sub("", text).strip()
    return text


def _key(text: str, label: str) -> str:
    name = plain(text)
    country = nationalities().get(name) if label == "NORP" or name in nationalities() else countries().get(name.lower())
    if country is not None:
        return country.lower()
    words = [word for word in re.split(r"[\s,]+", name.lower()) if word]
    while len(words) > 1 and words[-1] in word_set("organization_suffixes") and label != "PERSON":
        words = words[:-1]
    while len(words) > 1 and words[0].rstrip(".") in word_set("titles") - word_set("styles") and label == "PERSON":
        words = words[1:]
    return " ".join(words)


def _fuller(
    text: str, key: str, label: str, names: Sequence[tuple[str, str]], groups: dict[str, list[int]]
) -> str | None:
    """The one other name that this one is short for."""
    words = key.split()
    found: list[str] = []
    for other, indexes in groups.items():
        longer = other.split()
        if other == key or len(longer) < len(words):
            continue
        other_text, other_label = names[indexes[0]]
        if (label not in _PLACE_LABELS and other_label == "PERSON" and _is_part_of_person(words, longer)) or (
            label != "PERSON" and _is_acronym(plain(text), plain(other_text))
        ):
            found.append(other)
    people = [key for key, indexes in groups.items() if names[indexes[0]][1] == "PERSON" and " " in key]
    return found[0] if len(found) == 1 or found[:1] == people[:1] != [] else None


def _is_part_of_person(words: list[str], longer: list[str]) -> bool:
    """ "Curie", "Marie", "M. Curie" of "Marie Curie": the words or their initials in order, with an end in common."""
    while len(longer) > 1 and longer[-1] in word_set("name_suffixes"):
        longer = longer[:-1]
    if len(words) == len(longer) > 1 and words[-1] == longer[-1]:
        return all(a == b or (a[0] == b[0] and a.endswith(".")) for a, b in zip(words, longer, strict=True))
    rest = iter(longer)
    ends = words[-1] == longer[-1] or (len(words) == 1 and words[0] == longer[0])
    return len(words) < len(longer) and ends and all(word in rest for word in words)


def _is_acronym(short: str, long: str) -> bool:
    if not _ACRONYM.fullmatch(short):
        return False
    letters = short.replace(".", "")
    words = [word for word in re.split(r"[\s-]+", long) if word]
    telling = [word[0] for word in words if word.lower() not in _SMALL_WORDS]
    return letters in {"".join(telling), "".join(word[0] for word in words).upper()}
