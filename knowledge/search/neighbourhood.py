"""The neighbourhood of what a question names: facts so many hops away, the most fitting first, within a budget."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from knowledge.ids import EntityId, RelationId
from knowledge.search.findings import AskedPredicate
from knowledge.search.names import name_key
from knowledge.search.ports import Link, SearchView
from knowledge.search.predicates import fit_by_words, fits_of, hints_in
from knowledge.search.words import agreement, are_related, stems

_FARTHER = 0.8  # what each further hop leaves of the certainty that the question is about it
_LEADS_ON = 0.3  # of a fact that the question's own words must speak of, for its other end to be followed
_MAX_LEADS = 20


@dataclass(frozen=True, slots=True)
class Reached:
    """A fact `hops` (from 1) away from what was named, the facts on the way there, and how well it fits."""

    link: Link
    hops: int
    via: tuple[RelationId, ...]
    name_fit: float
    predicate_fit: float


class Neighbourhood:
    """The facts around entities, for a question (without names) that asks for predicates."""

    def __init__(
        self, view: SearchView, asked: Sequence[AskedPredicate], question: str, model: str, budget: int
    ) -> None:
        self._view = view
        self._fits = fits_of(asked)
        self._words = {predicate.iri: stems(predicate.label) for predicate in asked}
        self._labels = {predicate.iri: predicate.label for predicate in asked}
        self._wanted = stems(question)
        self._hints = hints_in(question)
        self._model = model
        self._budget = budget

    def expand(self, seeds: Sequence[EntityId], hops: int) -> tuple[Reached, ...]:
        """The facts around `seeds`, nearest first, at most the budget for each hop.

        A further hop goes on from facts that the question speaks of ("the director's birthplace"), with those words
        taken out of what is still wanted. An entity's namesakes of its class in other documents are one with it.
        """
        if not seeds:
            return ()
        links = self._view.links_of(seeds, self._fits, self._budget)
        reached = [Reached(link, 1, (), 1.0, self._fits.get(link.predicate, 0.0)) for link in links]
        seen, known, frontier = {link.id for link in links}, set(seeds), list(reached)
        for _ in range(1, hops):
            leads = [step for step in frontier if self._is_spoken_of(step.link)][:_MAX_LEADS]
            frontier = [step for step in self._onward(leads, known) if step.link.id not in seen]
            seen.update(step.link.id for step in frontier)
            reached += frontier
        return tuple(reached)

    def _is_spoken_of(self, link: Link) -> bool:
        """Whether the question has all words of the predicate's name, and they are enough of it."""
        own = self._words.get(link.predicate, ())
        said = all(any(are_related(stem, other) for other in self._wanted) for stem in own)
        return bool(own) and said and agreement(own, self._wanted) >= _LEADS_ON

    def _onward(self, leads: Sequence[Reached], known: set[EntityId]) -> Iterator[Reached]:
        """The facts behind the leads, by the words of the question that a lead's predicate has not used up."""
        for predicate in dict.fromkeys(lead.link.predicate for lead in leads):
            spoken = self._words.get(predicate, ())
            rest = [stem for stem in self._wanted if not any(are_related(stem, other) for other in spoken)]
            if not rest:
                continue
            ends = self._other_ends([lead for lead in leads if lead.link.predicate == predicate], known)
            if not ends:
                continue
            fits = {iri: fit_by_words(label, rest, self._hints) for iri, label in self._labels.items()}
            for link in self._view.links_of(list(ends), fits, self._budget):
                lead = ends.get(link.subject_id) or (ends.get(link.object_id) if link.object_id else None)
                if lead is not None:
                    via = (*lead.via, lead.link.id)
                    fit = fits.get(link.predicate, 0.0)
                    yield Reached(link, lead.hops + 1, via, lead.name_fit * _FARTHER, fit)

    def _other_ends(self, leads: Sequence[Reached], known: set[EntityId]) -> dict[EntityId, Reached]:
        """The entities that the leads lead to and that are not `known` yet, with namesakes; `known` grows by them."""
        ends: dict[EntityId, Reached] = {}
        for lead in leads:
            for end in (lead.link.subject_id, lead.link.object_id):
                if end is not None and end not in known:
                    ends.setdefault(end, lead)
        for original, namesake in self._namesakes(list(ends)):
            if namesake not in known:
                ends.setdefault(namesake, ends[original])
        known.update(ends)
        return ends

    def _namesakes(self, ids: Sequence[EntityId]) -> Iterator[tuple[EntityId, EntityId]]:
        """Pairs of one of these entities and another one of the same name that shares a class with it."""
        entities = self._view.entities(ids)
        keys = {entity.id: name_key(entity.label) for entity in entities.values()}
        bearers = self._view.named(sorted(set(keys.values())), self._model)
        others = self._view.entities(sorted({i for key in bearers for i in bearers[key]} - set(ids)))
        for entity in entities.values():
            for i in bearers.get(keys[entity.id], ()):
                if i in others and not set(others[i].classes).isdisjoint(entity.classes):
                    yield entity.id, i
