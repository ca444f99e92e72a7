"""Look-ups over an ontology's terms, built once."""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Generic, TypeVar

from knowledge.ontology.names import fold, local_name
from knowledge.ontology.terms import OntologyClass, OntologyProperty

TermT = TypeVar("TermT", OntologyClass, OntologyProperty)

_CURIE = re.compile(r"[\w.-]*:(?!//)(\S+)")


class TermIndex(Generic[TermT]):
    """Terms by IRI, by every way of writing their names, and by their ancestors."""

    def __init__(self, terms: Sequence[TermT]) -> None:
        self.by_iri: Mapping[str, TermT] = {term.iri: term for term in terms}
        self._by_name: Mapping[str, str] = {term.name: term.iri for term in terms}
        self._tiers = (
            _grouped(terms, lambda term: [term.name]),
            _grouped(terms, lambda term: [label.text for label in term.labels]),
            _grouped(terms, lambda term: [local_name(term.iri)]),
        )
        self._ancestors: dict[str, tuple[str, ...]] = {}

    def resolve(self, text: str) -> str | None:
        """The IRI that `text` names: by IRI, then name, label, local name; none when that is ambiguous."""
        text = text.strip().removeprefix("<").removesuffix(">").strip()
        if text in self.by_iri:
            return text
        if text in self._by_name:
            return self._by_name[text]
        found = self._folded(text)
        if not found and (curie := _CURIE.fullmatch(text)):
            found = self._folded(curie[1])
        return found[0] if len(found) == 1 else None

    def ancestors(self, iri: str) -> tuple[str, ...]:
        """The IRIs above `iri`, nearest first and without itself, also where the hierarchy has circles."""
        if iri not in self._ancestors:
            self._ancestors[iri] = self._above(iri)
        return self._ancestors[iri]

    def _folded(self, text: str) -> Sequence[str]:
        """The IRIs in the first tier that knows `text`."""
        key = fold(text)
        return next((tier[key] for tier in self._tiers if key in tier), ())

    def _above(self, iri: str) -> tuple[str, ...]:
        order = [iri]
        seen = {iri}
        for current in order:
            term = self.by_iri.get(current)
            new = [parent for parent in (term.parents if term else ()) if parent not in seen]
            seen.update(new)
            order.extend(new)
        return tuple(order[1:])


def _grouped(terms: Iterable[TermT], names: Callable[[TermT], Iterable[str]]) -> dict[str, list[str]]:
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for term in terms:
        for key in dict.fromkeys(fold(name) for name in names(term)):
            groups[key].append(term.iri)
    return dict(groups)
