"""An ontology seen with the lexicon's eyes: which nouns its classes answer to, and which cues its properties."""

import re
from dataclasses import dataclass
from functools import cached_property

from knowledge.models.embedded.lexicon import taxonomy, word_set
from knowledge.models.embedded.parsing import is_known, lemma_of
from knowledge.ontology import Ontology, OntologyClass, OntologyProperty

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z']+|\d+(?:st|nd|rd|th)?|[^\W\d_]+")
_LEADING = frozenset(["has", "is", "was", "are", "be", "have", "been", "the", "a", "an", "does"])
_ARTICLES = frozenset({"the", "a", "an"})


def words_of(label: str) -> list[str]:
    """The lower-case words of a label, also one in camelCase or snake_case."""
    return [word.lower() for word in _WORDS.findall(label.replace("’", "'"))]


def singular(word: str) -> str:
    """The noun that a word is a form of, or the word when that is none in spaCy's list."""
    noun = lemma_of(word, "NOUN")
    return noun if is_known(noun, "NOUN") else word


def base_verb(word: str) -> str | None:
    """The verb that a word is an inflected form of, if it is one."""
    verb = lemma_of(word, "VERB")
    return verb if verb != word and is_known(verb, "VERB") else None


def key_of(label: str) -> str:
    """What labels that say the same share: lemmas without auxiliaries and articles at the start."""
    words = words_of(label)
    while len(words) > 1 and words[0] in _LEADING:
        words = words[1:]
    return " ".join(base_verb(word) or singular(word) for word in words if word not in _ARTICLES)


def labels_of(term: OntologyClass | OntologyProperty) -> tuple[str, ...]:
    """The labels to read a term by: English ones and those without a language, else its name."""
    found = tuple(x.text for x in term.labels if x.language == "" or x.language.startswith("en"))
    return found or (term.name,)


@dataclass(frozen=True)
class ClassVocabulary:
    """The classes of an ontology by the nouns that they stand for."""

    ontology: Ontology

    @cached_property
    def nouns(self) -> dict[str, str]:
        """For each class IRI the noun (or noun phrase, in the singular) that it is labelled with."""
        return {c.iri: self._noun(c) for c in self.ontology.classes}

    @cached_property
    def by_noun(self) -> dict[str, tuple[str, ...]]:
        """Class IRIs by label, and by the taxonomy's preferred form of it where no class has that for a label."""
        found: dict[str, list[str]] = {}
        synonyms: dict[str, list[str]] = {}
        known = taxonomy()
        for term in self.ontology.classes:
            phrases = {self._phrase(label) for label in labels_of(term)}
            for phrase in phrases:
                found.setdefault(phrase, []).append(term.iri)
        for phrase in sorted(found):
            preferred = known.preferred.get(phrase, phrase)
            if preferred not in found:
                synonyms.setdefault(preferred, []).extend(found[phrase])
        return {noun: tuple(sorted(set(iris))) for noun, iris in {**synonyms, **found}.items()}

    @cached_property
    def catch_all(self) -> tuple[str, ...]:
        """Classes for whatever has no other, such as one labelled "miscellaneous"."""
        return tuple(iri for noun in sorted(word_set("catch_all_labels")) for iri in self.by_noun.get(noun, ()))

    def has(self, noun: str) -> bool:
        """Whether some class stands for the noun or for something broader or narrower."""
        known = taxonomy()
        wanted = known.broader_than(noun)
        return any(found in wanted or noun in known.broader_than(found) for found in self.by_noun)

    def classes_for(self, phrase: str) -> tuple[str, ...]:
        """The classes for a noun phrase: by its longest end that is a label, else by the nearest broader noun."""
        words = [*phrase.split()]
        for start in range(len(words)):
            found = self.by_noun.get(" ".join(words[start:]))
            if found:
                return found
        known = taxonomy()
        broader = known.broader_than(phrase)
        for noun in sorted(broader, key=lambda noun: (-len(known.broader[noun]), noun)):
            if noun in self.by_noun:
                return self.by_noun[noun]
        return ()

    def _noun(self, term: OntologyClass) -> str:
        phrases = [self._phrase(label) for label in labels_of(term)]
        return next((phrase for phrase in phrases if taxonomy().find(phrase)), phrases[0])

    @staticmethod
    def _phrase(label: str) -> str:
        words = words_of(label)
        return " ".join([*words[:-1], *map(singular, words[-1:])]) or label.lower()

    def fit(self, nouns: frozenset[str], classes: tuple[str, ...], wanted: tuple[str, ...]) -> float:
        """How well a thing fits a domain or range (a union of classes): 1 surely, 0 not at all."""
        if not wanted:
            return 0.9
        return max(self._fit_one(nouns, classes, iri) for iri in wanted)

    def _fit_one(self, nouns: frozenset[str], classes: tuple[str, ...], wanted: str) -> float:
        if any(self.ontology.is_a(iri, wanted) for iri in classes):
            return 1.0
        noun = self.nouns.get(wanted)
        if noun is None or noun in word_set("catch_all_labels"):
            return 0.75
        if taxonomy().find(noun) is None:
            return 0.5 if classes else 0.8
        described = nouns | {self.nouns[iri] for iri in classes if iri in self.nouns}
        found = taxonomy().relation(described, noun)
        if found == 0.0 and any(self.ontology.is_a(wanted, iri) for iri in classes):
            return 0.6
        return found
