"""What the rules know about English: a taxonomy of nouns, countries and their adjectives, titles, suffixes.

The data lies in the files beside this one that `LEXICON_FILES` names.
"""

from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files

from knowledge.ids import digest_of

LEXICON_FILES = ("nouns.txt", "words.txt", "places.txt", "firstnames.txt", "relations.toml")

DOUBTING_WORDS = frozenset(["may", "might", "would", "could", "should", "can"])
# spaCy's labels (OntoNotes 5) as nouns of the taxonomy.
LABEL_KINDS = {
    "PERSON": "person",
    "ORG": "organization",
    "GPE": "territory",
    "LOC": "place",
    "FAC": "facility",
    "NORP": "ethnic group",
    "EVENT": "event",
    "WORK_OF_ART": "work",
    "PRODUCT": "product",
    "LANGUAGE": "language",
    "LAW": "law",
    "DATE": "date",
    "CARDINAL": "number",
}
VALUE_LABELS = frozenset({"DATE", "TIME", "PERCENT", "MONEY", "QUANTITY", "ORDINAL", "CARDINAL"})


@dataclass(frozen=True, slots=True)
class Taxonomy:
    """`broader[noun]` holds the noun itself and everything it is a kind of; synonyms share one preferred noun."""

    preferred: dict[str, str]
    broader: dict[str, frozenset[str]]

    def find(self, phrase: str) -> str | None:
        """The preferred noun for the longest known end of a lower-case phrase of singular nouns."""
        words = phrase.split()
        for start in range(len(words)):
            noun = self.preferred.get(" ".join(words[start:]))
            if noun is not None:
                return noun
        return None

    def broader_than(self, noun: str) -> frozenset[str]:
        """The preferred nouns that hold for whatever `noun` holds for, itself included; none when unknown."""
        found = self.find(noun)
        return self.broader[found] if found is not None else frozenset()

    def relation(self, nouns: frozenset[str], wanted: str) -> float:
        """How well a thing described by `nouns` can be a `wanted`: 1 it is, 0.6 it might be, 0 it is not.

        0.8 when nothing is known of either.
        """
        target = self.find(wanted)
        known = [self.broader_than(noun) for noun in nouns]
        if target is None or not any(known):
            return 0.8
        if any(target in broader for broader in known):
            return 1.0
        return 0.6 if self._telling(nouns) & self.broader[target] else 0.0

    def _telling(self, nouns: frozenset[str]) -> frozenset[str]:
        """The preferred nouns without those that another one implies; a person can have many roles."""
        found = frozenset(noun for noun in map(self.find, nouns) if noun is not None)
        if "person" in found:
            return found
        return frozenset(n for n in found if not any(n in self.broader[o] for o in found if o != n))


@cache
def taxonomy() -> Taxonomy:
    """The taxonomy of nouns.txt."""
    preferred: dict[str, str] = {}
    broader: dict[str, set[str]] = {}
    path: list[str] = []
    for line in _lines("nouns.txt"):
        depth = (len(line) - len(line.lstrip())) // 2
        del path[depth:]
        siblings = [[noun.strip() for noun in part.split("=")] for part in _siblings(line)]
        for nouns in siblings:
            head = preferred.setdefault(nouns[0], nouns[0])
            for noun in nouns[1:]:
                preferred.setdefault(noun, head)
            broader.setdefault(head, {head}).update(path)
        path.append(preferred[siblings[-1][0]])
    return Taxonomy(preferred, {noun: _closure(noun, broader) for noun in broader})


def _siblings(line: str) -> list[str]:
    """`a = b, c` declares one noun with the synonyms b and c; without `=`, commas separate siblings."""
    head, equals, synonyms = line.partition("=")
    if not equals:
        return line.split(",")
    *others, last = head.split(",")
    return [*others, "=".join([last, *synonyms.split(",")])]


def _closure(noun: str, broader: dict[str, set[str]]) -> frozenset[str]:
    found: set[str] = set()
    todo = [noun]
    while todo:
        current = todo.pop()
        if current not in found:
            found.add(current)
            todo.extend(broader.get(current, ()))
    return frozenset(found)


def word_set(name: str) -> frozenset[str]:
    """A closed set of lower-case words from words.txt."""
    return _word_sets()[name]


@cache
def _word_sets() -> dict[str, frozenset[str]]:
    rows = (line.partition(":") for line in _lines("words.txt"))
    return {name: frozenset(members.split()) for name, _, members in rows}


@cache
def countries() -> dict[str, str]:
    """Lower-case names of countries, each with the usual name."""
    found: dict[str, str] = {}
    for name, _, aliases in _countries():
        found.update({alias.lower(): name for alias in (name, *aliases)})
    return found


@cache
def nationalities() -> dict[str, str]:
    """Adjectives and demonyms as they are written (`Polish`), each with its country's usual name."""
    return {adjective: name for name, adjectives, _ in _countries() for adjective in adjectives}


def _countries() -> list[tuple[str, list[str], list[str]]]:
    rows: list[tuple[str, list[str], list[str]]] = []
    for line in _lines("places.txt"):
        name, _, rest = line.partition(":")
        adjectives, _, aliases = rest.partition("|")
        rows.append((name.strip(), _listed(adjectives), _listed(aliases)))
    return rows


@cache
def given_names() -> dict[str, str]:
    """Given names as they are written, each with the pronoun (`he` or `she`) that goes with it."""
    lines = (line.partition(":") for line in _lines("firstnames.txt"))
    return {name: pronoun for pronoun, _, names in lines for name in names.split()}


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


def _lines(name: str) -> list[str]:
    return [line for line in lexicon_text(name).splitlines() if line.strip() and not line.startswith("#")]


def lexicon_text(name: str) -> str:
    """The content of one of `LEXICON_FILES`."""
    return files(__package__ or "").joinpath(name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def lexicon_digest() -> str:
    """64 hex digits that change with the lexicon."""
    return digest_of(*map(lexicon_text, LEXICON_FILES))
