"""A passage's grammar as plain values: what the rules need of spaCy's parse, and nothing that holds on to it."""

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from knowledge.domain import Span
from knowledge.models.embedded.loading import language, required

_PARAGRAPH = re.compile(r"\S(?:.|\n(?!\s*\n))*")
_STRAIGHTENED = str.maketrans({"\n": " ", "\r": " ", "\t": " ", "\u00a0": " ", "’": "'", "‘": "'", "“": '"', "”": '"'})


@dataclass(frozen=True, slots=True)
class Token:
    """A token. `head` and `index` count the passage's tokens; the root of a sentence is its own head."""

    index: int
    start: int
    end: int
    text: str
    lemma: str
    pos: str
    tag: str
    dep: str
    head: int
    sentence: int


@dataclass(frozen=True, slots=True)
class Sentence:
    """Tokens `[first, last)`, and their span without surrounding white space."""

    first: int
    last: int
    span: Span
    paragraph: int


@dataclass(frozen=True, slots=True)
class NamedSpan:
    """Tokens `[first, last)` that the recogniser (or a rule) gave a label of OntoNotes 5."""

    first: int
    last: int
    label: str


@dataclass(frozen=True, slots=True, eq=False)
class Parse:
    """A parsed passage; `children[i]` are the indexes of token i's dependents, in order. Equal only to itself."""

    text: str
    tokens: tuple[Token, ...]
    children: tuple[tuple[int, ...], ...]
    sentences: tuple[Sentence, ...]
    named: tuple[NamedSpan, ...]

    def dependents(self, index: int, *deps: str) -> list[int]:
        """The dependents of a token that have one of these relations to it, in order."""
        return [child for child in self.children[index] if self.tokens[child].dep in deps]

    def tokens_in(self, span: Span) -> range:
        """The indexes of the tokens that lie (at least partly) in a span."""
        first = next((t.index for t in self.tokens if t.end > span.start), len(self.tokens))
        last = next((t.index for t in self.tokens[first:] if t.start >= span.end), len(self.tokens))
        return range(first, last)

    def span_of(self, first: int, last: int) -> Span:
        """The span of tokens `[first, last)`."""
        return Span(self.tokens[first].start, self.tokens[last - 1].end)

    def head_of(self, first: int, last: int) -> int:
        """The token of `[first, last)` on which the others depend."""
        for index in range(first, last):
            if not first <= self.tokens[index].head < last or self.tokens[index].head == index:
                return index
        return last - 1


def parse(text: str) -> Parse:
    """The parse of a passage; each paragraph is parsed by itself, so that no sentence runs across a break."""
    paragraphs = [(m.start(), m.group().translate(_STRAIGHTENED)) for m in _PARAGRAPH.finditer(text)]
    builder = _Builder(text)
    documents = language().pipe((body for _, body in paragraphs), batch_size=16)
    for number, ((offset, _), document) in enumerate(zip(paragraphs, documents, strict=True)):
        builder.add(document, offset, number)
    return builder.finish()


class _Builder:
    """Collects the paragraphs of a passage."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[Token] = []
        self._sentences: list[Sentence] = []
        self._named: list[NamedSpan] = []

    def add(self, document: Any, offset: int, paragraph: int) -> None:
        base = len(self._tokens)
        for sentence in document.sents:
            self._add_sentence(sentence, base, offset, paragraph)
        for entity in document.ents:
            self._named.append(NamedSpan(base + entity.start, base + entity.end, str(entity.label_)))

    def _add_sentence(self, sentence: Any, base: int, offset: int, paragraph: int) -> None:
        number = len(self._sentences)
        first = len(self._tokens)
        for token in sentence:
            start = offset + token.idx
            text = str(token.text)
            self._tokens.append(
                Token(
                    index=base + token.i,
                    start=start,
                    end=start + len(text),
                    text=text,
                    lemma=str(token.lemma_).lower(),
                    pos=str(token.pos_),
                    tag=str(token.tag_),
                    dep=str(token.dep_),
                    head=base + token.head.i,
                    sentence=number,
                )
            )
        start, end = self._tokens[first].start, self._tokens[-1].end
        body = self._text[start:end]
        start += len(body) - len(body.lstrip())
        end = max(start + 1, end - (len(body) - len(body.rstrip())))
        self._sentences.append(Sentence(first, len(self._tokens), Span(start, end), paragraph))

    def finish(self) -> Parse:
        children: list[list[int]] = [[] for _ in self._tokens]
        for token in self._tokens:
            if token.head != token.index:
                children[token.head].append(token.index)
        return Parse(
            self._text,
            tuple(self._tokens),
            tuple(map(tuple, children)),
            tuple(self._sentences),
            tuple(self._named),
        )


@lru_cache(maxsize=20_000)
def lemma_of(word: str, pos: str) -> str:
    """The lemma of a lower-case word read as `pos` (VERB or NOUN), by spaCy's exception lists and rules."""
    pipeline = language()
    document = required("spacy").tokens.Doc(pipeline.vocab, words=[word], pos=[pos])
    return str(pipeline.get_pipe("lemmatizer").rule_lemmatize(document[0])[0])


@lru_cache(maxsize=20_000)
def is_known(word: str, pos: str) -> bool:
    """Whether a lower-case lemma stands in spaCy's list of English verbs (VERB) or nouns (NOUN)."""
    index = language().get_pipe("lemmatizer").lookups.get_table("lemma_index")
    return word in index.get(pos.lower(), ())
