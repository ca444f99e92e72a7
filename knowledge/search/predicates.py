"""Which predicate a question asks about: its words against the predicates' names, and vectors where words differ."""

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from statistics import median

from knowledge.search.findings import AskedPredicate
from knowledge.search.ports import PredicateHit
from knowledge.search.words import agreement, stems, words

# Models differ in how near they put unrelated texts. So cosines are taken relative to the median over all predicates,
# most of which a question does not ask about: 0 up to the first share of the way from there to 1, 1 from the second.
_UNRELATED, _SAME = 0.17, 0.68
_BY_VECTOR = 0.9  # a cosine never counts as much as the words themselves
# What a question word adds to what is asked, if a predicate's name has one of these.
_HINTS = {
    **dict.fromkeys(("when", "birthdate", "birthday"), ("date", "time", "year")),
    **dict.fromkeys(("where", "birthplace"), ("place", "location")),
}


def asked_predicates(question: str, hits: Iterable[PredicateHit]) -> tuple[AskedPredicate, ...]:
    """How well each predicate is what the question (without names) asks, best first; one for each IRI.

    The label is a predicate's first among the hits, the fit that of the name that fits best.
    """
    hits = tuple(hits)
    usual = median(hit.cosine for hit in hits) if hits else 0.0
    wanted = stems(question)
    hints = hints_in(question)
    best: dict[str, AskedPredicate] = {}
    for hit in hits:
        fit = max(fit_by_words(hit.label, wanted, hints), _BY_VECTOR * _ramp(hit.cosine, usual)) if wanted else 0.0
        first = best.setdefault(hit.iri, AskedPredicate(hit.iri, hit.label, fit))
        best[hit.iri] = replace(first, fit=max(fit, first.fit))
    return tuple(sorted(best.values(), key=lambda asked: (-asked.fit, asked.iri)))


def fits_of(asked: Sequence[AskedPredicate]) -> Mapping[str, float]:
    """The fit of each predicate, by IRI."""
    return {predicate.iri: predicate.fit for predicate in asked}


def hints_in(question: str) -> Set[str]:
    """Words of predicates' names that the question implies: a date by "when"."""
    return {hint for word in words(question) for hint in _HINTS.get(word, ())}


def fit_by_words(label: str, wanted: Sequence[str], hints: Set[str]) -> float:
    """How far a predicate's name agrees with the wanted stems, one of the hints included if it has one."""
    own = stems(label)
    hinted = [stem for hint in words(label) if hint in hints for stem in stems(hint)][:1]
    return max(agreement(own, wanted), agreement(own, [*wanted, *hinted]))


def _ramp(cosine: float, usual: float) -> float:
    way = (cosine - usual) / max(1 - usual, 1e-6)
    return min(1.0, max(0.0, (way - _UNRELATED) / (_SAME - _UNRELATED)))
