"""Ranking: what the channels brought up becomes one order of facts, entities and passages."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rapidfuzz import fuzz

from knowledge.ids import EntityId, RelationId
from knowledge.search.dates import is_dated
from knowledge.search.embedding import Vector
from knowledge.search.findings import AskedPredicate, FactEnd, FoundEntity, FoundFact, FoundPassage
from knowledge.search.fusion import Fused, fuse
from knowledge.search.names import NameSpan, proper_words
from knowledge.search.neighbourhood import Reached
from knowledge.search.ports import EntryHit, Link, SearchView
from knowledge.search.predicates import fits_of
from knowledge.search.words import stems

_WORDING_FIT = 0.9  # a fact whose names only resemble the question's is never as sure as one that bears them
_MISSPELT, _LEAST_MISSPELT = 0.88, 4  # likeness (Indel) from which two stems of so many letters are taken for one
_PASSAGE_LINKS = 6  # facts of one passage that may compete
_POOL = 10  # facts that are rated for each one that is returned


@dataclass(frozen=True, slots=True)
class Question:
    """A question taken apart: its names, the entities that bear them, what is left of it, its dates, and vectors."""

    text: str
    names: tuple[NameSpan, ...]
    bearers: Mapping[str, tuple[EntityId, ...]]
    rest: str
    dates: tuple[str, ...] = ()
    vector: Vector = ()
    rest_vector: Vector = ()

    @property
    def entity_ids(self) -> tuple[EntityId, ...]:
        """All entities that bear one of the names, in order of the names."""
        return tuple(dict.fromkeys(e for name in self.names for e in self.bearers.get(name.key, ())))


@dataclass(slots=True)
class Channels:
    """What each way of searching brought up, best first, and all relations that came along."""

    asked: tuple[AskedPredicate, ...] = ()
    entities: tuple[EntryHit, ...] = ()
    nearest: tuple[EntryHit, ...] = ()
    worded: tuple[EntryHit, ...] = ()
    reached: tuple[Reached, ...] = ()
    links: dict[RelationId, Link] = field(default_factory=dict[RelationId, Link])


@dataclass(frozen=True, slots=True)
class _Rated:
    """A relation with its fits, and whether what the question names is its subject."""

    id: RelationId
    name_fit: float
    predicate_fit: float
    is_about: bool
    fused: Fused[RelationId] | None

    @property
    def order(self) -> tuple[float, bool, float]:
        """By fit; of a predicate and its inverse ("the follower of X") the one with X as subject; by fused rank."""
        return (-self.name_fit * self.predicate_fit, not self.is_about, -self.fused.score if self.fused else 0.0)


class Ranking:
    """Orders what the channels brought up for a question; `limit` of each kind."""

    def __init__(self, view: SearchView, question: Question, channels: Channels, limit: int) -> None:
        self._view = view
        self._question = question
        self._channels = channels
        self._limit = limit
        self._fits = fits_of(channels.asked)
        self._asks_nothing = not stems(question.rest)
        self._is_dated_only = bool(question.dates) and not proper_words(question.rest)
        self._steps = {step.link.id: step for step in channels.reached}
        self._weights = [
            (float(name.end - name.start), set(question.bearers[name.key]))
            for name in question.names
            if name.key in question.bearers
        ]

    def facts(self) -> tuple[FoundFact, ...]:
        """The facts that fit best; of equal fit those that more channels, and higher up, have."""
        rated = self._rated()
        best = sorted(rated, key=lambda one: one.order)[: self._limit]
        labels = {predicate.iri: predicate.label for predicate in self._channels.asked}
        facts = self._view.facts([one.id for one in best], labels)
        return tuple(
            FoundFact(
                facts[one.id],
                one.fused.score if one.fused else 0.0,
                one.name_fit,
                one.predicate_fit,
                self._steps[one.id].hops if one.id in self._steps else 0,
                self._steps[one.id].via if one.id in self._steps else (),
                one.fused.ranks if one.fused else {},
            )
            for one in best
            if one.id in facts
        )

    def entities(self) -> tuple[FoundEntity, ...]:
        """Entities that bear the question's names, or whose vectors are near."""
        fused = fuse({"names": self._question.entity_ids, "vectors": entity_ids(self._channels.entities)})
        chosen = fused[: self._limit]
        ends = self._view.entities([found.item for found in chosen])
        return tuple(FoundEntity(ends[one.item], one.score, one.ranks) for one in chosen if one.item in ends)

    def passages(self) -> tuple[FoundPassage, ...]:
        """Evidence by vectors and by words."""
        hits = {hit.text: hit for hit in (*self._channels.worded, *self._channels.nearest)}
        fused = fuse(
            {"vectors": [h.text for h in self._channels.nearest], "words": [h.text for h in self._channels.worded]}
        )[: self._limit]
        documents = self._view.documents([hits[one.item].extraction_id for one in fused])
        return tuple(
            FoundPassage(hit.text, hit.span, *documents[hit.extraction_id], _relations(hit), one.score, one.ranks)
            for one in fused
            if (hit := hits[one.item]).span is not None and hit.extraction_id in documents
        )

    def _rated(self) -> list[_Rated]:
        channels, question = self._channels, self._question
        fused = fuse(
            {
                "names": [step.link.id for step in channels.reached if step.hops == 1] if question.names else [],
                "evidence vectors": self._stated(channels.nearest),
                "evidence words": self._stated(channels.worded),
                "entity vectors": self._around(entity_ids(channels.entities)),
            }
        )
        by_id = {found.item: found for found in fused[: _POOL * self._limit]}
        pool = [*by_id, *(step.link.id for step in channels.reached if step.hops > 1)]
        ends = self._ends([] if question.names else pool)
        named = set(question.entity_ids)
        rated: list[_Rated] = []
        for relation_id in dict.fromkeys(pool):
            link = channels.links[relation_id]
            fits = self._fits_of(link, ends)
            rated.append(_Rated(relation_id, *fits, link.subject_id in named, by_id.get(relation_id)))
        return rated

    def _fits_of(self, link: Link, ends: Mapping[EntityId, FactEnd]) -> tuple[float, float]:
        """How well the fact fits the question's names, and what it asks."""
        step = self._steps.get(link.id)
        if step is not None and step.hops > 1:
            return (step.name_fit if self._question.names else 0.0), step.predicate_fit
        return self._name_fit(link, ends), 1.0 if self._asks_nothing else self._fits.get(link.predicate, 0.0)

    def _name_fit(self, link: Link, ends: Mapping[EntityId, FactEnd]) -> float:
        """The share, by length, of the question's names that the fact's ends bear.

        Without names, whether its value has the question's dates; with neither, the likeness of names.
        """
        own = [end for end in (link.subject_id, link.object_id) if end is not None]
        if self._weights:
            borne = sum(weight for weight, bearers in self._weights if not bearers.isdisjoint(own))
            return borne / sum(weight for weight, _ in self._weights)
        if self._is_dated_only:
            return float(all(is_dated(link.literal, date) for date in self._question.dates))
        likeness = (_likeness(ends[end], self._question.text) for end in own if end in ends)
        return _WORDING_FIT * max(likeness, default=0.0)

    def _stated(self, hits: Sequence[EntryHit]) -> list[RelationId]:
        """The facts that the passages state, in the passages' order; of one passage those asked for first."""
        links = self._channels.links
        return [
            link.id
            for hit in hits
            for link in sorted((links[i] for i in _relations(hit) if i in links), key=self._order)[:_PASSAGE_LINKS]
        ]

    def _around(self, ids: Sequence[EntityId]) -> list[RelationId]:
        """The facts at entities in the entities' order, as far as they came along."""
        rank = {entity_id: n for n, entity_id in enumerate(ids)}
        last = len(rank)

        def place(link: Link) -> int:
            return min(rank.get(link.subject_id, last), rank.get(link.object_id, last) if link.object_id else last)

        touching = [link for link in self._channels.links.values() if place(link) < last]
        return [link.id for link in sorted(touching, key=lambda link: (place(link), *self._order(link)))]

    def _order(self, link: Link) -> tuple[float, float, str]:
        return (-self._fits.get(link.predicate, 0.0), -link.confidence, link.id)

    def _ends(self, pool: Sequence[RelationId]) -> Mapping[EntityId, FactEnd]:
        links = (self._channels.links[i] for i in pool)
        return self._view.entities(list({end for x in links for end in (x.subject_id, x.object_id) if end}))


def entity_ids(hits: Iterable[EntryHit]) -> tuple[EntityId, ...]:
    """The entities that the hits are of, each once."""
    return tuple(dict.fromkeys(EntityId(target) for hit in hits for target in hit.targets))


def _relations(hit: EntryHit) -> tuple[RelationId, ...]:
    return tuple(RelationId(target) for target in hit.targets)


def _likeness(end: FactEnd, question: str) -> float:
    """How much of an entity's name the question has, times how much of the question's names the entity's has."""
    asked = stems(question)
    proper = stems(" ".join(question[start:stop] for start, stop in proper_words(question)))

    def share(name: str) -> float:
        own = stems(name)
        return _covered(own, asked) * (_covered(proper, own) if proper else 1.0)

    return max(map(share, (end.label, *end.aliases)))


def _covered(some: Sequence[str], others: Sequence[str]) -> float:
    """The share of `some` that is among `others`, misspelt stems in part; nothing is not covered."""
    return sum(max((_sameness(stem, o) for o in others), default=0.0) for stem in some) / len(some) if some else 0.0


def _sameness(a: str, b: str) -> float:
    """1 for equal stems; how alike two long ones are that may be one misspelt, else 0."""
    if a == b:
        return 1.0
    if min(len(a), len(b)) < _LEAST_MISSPELT or a[0] != b[0] or not (a.isalpha() and b.isalpha()):
        return 0.0
    alike = fuzz.ratio(a, b) / 100
    return alike if alike >= _MISSPELT else 0.0
