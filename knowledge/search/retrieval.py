"""Retrieval: a question becomes a ranking of facts, entities and passages, each with the ways in which it was found."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from knowledge.ids import RelationId
from knowledge.search.dates import dates_in
from knowledge.search.embedding import EmbeddingService, IndexMissing, IndexRefused
from knowledge.search.findings import AskedPredicate, Findings
from knowledge.search.kinds import EntryKind
from knowledge.search.names import masked, name_key, names_in, possible_names, whole_names
from knowledge.search.neighbourhood import Neighbourhood
from knowledge.search.ports import SearchSource, SearchView
from knowledge.search.predicates import asked_predicates
from knowledge.search.ranking import Channels, Question, Ranking, entity_ids


@dataclass(frozen=True, slots=True)
class RetrievalOptions:
    """How much is looked at: `limit` of each kind is returned, `depth` entries are taken from each channel.

    Facts up to `hops` away from what the question names are followed, at most `budget` for each hop.
    """

    limit: int = 10
    depth: int = 20
    hops: int = 2
    budget: int = 200


class Retriever:
    """Searches one organisation's index and graph."""

    def __init__(self, source: SearchSource, embedding: EmbeddingService) -> None:
        self._source = source
        self._embedding = embedding

    async def find(self, text: str, options: RetrievalOptions | None = None) -> Findings:
        """What the graph has on a question or a few words, best first.

        Raises:
            IndexMissing: the organisation's index is empty.
            IndexRefused: it holds vectors of another model, or those of this one are not complete yet.
            ModelError, StoreUnavailable: the embedding endpoint, or the database, did not answer.
        """
        began = time.perf_counter()
        question = await asyncio.to_thread(self._take_apart, text)
        named = time.perf_counter()
        vector, rest_vector = await self._embedding.embed_question(question.text, question.rest)
        question = replace(question, vector=vector, rest_vector=rest_vector)
        embedded = time.perf_counter()
        findings = await asyncio.to_thread(self._find, question, options or RetrievalOptions())
        ended = time.perf_counter()
        spent = {"names": named - began, "embedding": embedded - named, "search": ended - embedded}
        return replace(findings, milliseconds={name: 1000 * seconds for name, seconds in spent.items()})

    def _take_apart(self, text: str) -> Question:
        candidates = possible_names(text)
        with self._source.view() as view:
            self._require_model(view)
            bearers = view.named(sorted({span.key for span in candidates}), self._embedding.model)
        names = whole_names(text, names_in(candidates, bearers.keys()))
        dates = dates_in(text, names)
        return Question(text, names, bearers, masked(text, (*names, *dates)), tuple(date.key for date in dates))

    def _require_model(self, view: SearchView) -> None:
        present = view.models()
        if not present:
            raise IndexMissing(self._source.organization_id)
        model = self._embedding.model
        if not any(one.model == model and (one.complete or len(present) == 1) for one in present):
            raise IndexRefused(self._source.organization_id, present, model)

    def _find(self, question: Question, options: RetrievalOptions) -> Findings:
        model = self._embedding.model
        with self._source.view() as view:
            asked = asked_predicates(question.rest, view.predicates(question.rest_vector, model))
            question = _without_predicates(question, asked)
            channels = self._search(view, question, asked, options)
            ranking = Ranking(view, question, channels, options.limit)
            return Findings(
                question=question.text,
                facts=ranking.facts(),
                entities=ranking.entities(),
                passages=ranking.passages(),
                dates=question.dates,
                named=tuple(question.text[name.start : name.end] for name in question.names),
                asked=asked[: options.limit],
                milliseconds={},
            )

    def _search(
        self, view: SearchView, question: Question, asked: tuple[AskedPredicate, ...], options: RetrievalOptions
    ) -> Channels:
        model = self._embedding.model
        found = Channels(
            asked,
            view.nearest(EntryKind.ENTITY, question.vector, model, options.depth),
            view.nearest(EntryKind.PASSAGE, question.vector, model, options.depth),
            view.worded(question.text, model, options.depth),
        )
        stated = [RelationId(target) for hit in (*found.nearest, *found.worded) for target in hit.targets]
        found.links.update(view.links(list(dict.fromkeys(stated))))
        around = Neighbourhood(view, asked, question.rest, model, options.budget)
        found.reached = around.expand(question.entity_ids or entity_ids(found.entities), options.hops)
        found.links.update({step.link.id: step.link for step in found.reached})
        return found


def _without_predicates(question: Question, asked: Sequence[AskedPredicate]) -> Question:
    """The question without names that are what it asks for ("genre" may be an entity, too), if others are left."""
    labels = {name_key(predicate.label) for predicate in asked}
    names = tuple(name for name in question.names if name.key not in labels)
    return replace(question, names=names) if names else question
