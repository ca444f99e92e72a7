"""Citations are opened: a sentence stays only if all that it cites is in the graph, and says what the sentence says."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from knowledge.answers.answer import AnswerSentence, Citation, CitationKind, DroppedSentence
from knowledge.ids import EntityId, EvidenceId, RelationId
from knowledge.search.ports import CitationSource
from knowledge.search.words import are_related, stems, words

MIN_WORDS_BACKED = 0.6
"""The share of a sentence's words that what it cites must have; names and numbers must all be there."""
_NAME = re.compile(r"(?<![.!?“”\"]\s)(?<!^)(?<!^[“\"(])(?<![\w’'-])[^\W\d_a-z][\w’'-]*")
_NUMBER = re.compile(r"\d+(?:[.,:/-]\d+)*")


@dataclass(frozen=True, slots=True)
class Validated:
    """The sentences that hold, in order, and those that do not."""

    sentences: tuple[AnswerSentence, ...]
    dropped: tuple[DroppedSentence, ...]

    @property
    def support(self) -> float:
        """The share of the sentences that held."""
        total = len(self.sentences) + len(self.dropped)
        return len(self.sentences) / total if total else 0.0


def validate(sentences: Sequence[AnswerSentence], source: CitationSource, labels: Mapping[str, str]) -> Validated:
    """The sentences whose citations are in the graph and back them; `labels` names predicates (by IRI)."""
    opened = _open(sentences, source, labels)
    kept: list[AnswerSentence] = []
    dropped: list[DroppedSentence] = []
    for sentence in sentences:
        problem = _problem(sentence, opened)
        if problem:
            dropped.append(DroppedSentence(sentence.text, problem))
        else:
            kept.append(sentence)
    return Validated(tuple(kept), tuple(dropped))


def _open(
    sentences: Sequence[AnswerSentence], source: CitationSource, labels: Mapping[str, str]
) -> Mapping[tuple[CitationKind, str], tuple[str, ...]]:
    """What the graph has behind each citation, as texts; citations that lead nowhere are left out."""
    ids = _ids_by_kind(citation for sentence in sentences for citation in sentence.citations)
    entities = source.entities([EntityId(i) for i in ids[CitationKind.ENTITY]])
    facts = source.facts([RelationId(i) for i in ids[CitationKind.RELATION]], labels)
    quotations = source.quotations([EvidenceId(i) for i in ids[CitationKind.EVIDENCE]])
    opened: dict[tuple[CitationKind, str], tuple[str, ...]] = {}
    for entity in entities.values():
        opened[CitationKind.ENTITY, entity.id] = (entity.label, *entity.aliases)
    for fact in facts.values():
        literal = (fact.literal.lexical, fact.literal.surface) if fact.literal else ()
        names = (name for end in fact.ends for name in (end.label, *end.aliases))
        opened[CitationKind.RELATION, fact.id] = (fact.text, *names, *literal)
    for evidence_id, quotation in quotations.items():
        if quotation.text == quotation.in_document:
            opened[CitationKind.EVIDENCE, evidence_id] = (quotation.text,)
    return opened


def _ids_by_kind(citations: Iterable[Citation]) -> dict[CitationKind, list[str]]:
    ids: dict[CitationKind, dict[str, None]] = {kind: {} for kind in CitationKind}
    for citation in citations:
        ids[citation.kind][citation.id] = None
    return {kind: list(found) for kind, found in ids.items()}


def _problem(sentence: AnswerSentence, opened: Mapping[tuple[CitationKind, str], tuple[str, ...]]) -> str:
    """Why the sentence does not hold; empty when it does."""
    if not sentence.citations:
        return "it cites nothing"
    missing = [citation.id for citation in sentence.citations if (citation.kind, citation.id) not in opened]
    if missing:
        return f"it cites {missing[0]}, which is not in the graph"
    backing = " ".join(text for citation in sentence.citations for text in opened[citation.kind, citation.id])
    return _unbacked(sentence.text, backing)


def _unbacked(text: str, backing: str) -> str:
    """What of the text the backing does not have: a name, a number, or too many of its words."""
    known = set(words(backing))
    for name in _NAME.findall(text):
        if any(word not in known for word in words(name)):
            return f"what it cites does not say {name!r}"
    for number in _NUMBER.findall(text):
        if not _digits(number) <= _digits(backing):
            return f"what it cites does not say {number!r}"
    share = _share_backed(stems(text), stems(backing))
    return "" if share >= MIN_WORDS_BACKED else f"what it cites has only {share:.0%} of its words"


def _digits(text: str) -> set[str]:
    """The runs of digits, without leading zeros."""
    return {run.lstrip("0") or "0" for run in re.findall(r"\d+", text)}


def _share_backed(own: Sequence[str], backing: Collection[str]) -> float:
    known = set(backing)
    backed = sum(stem in known or any(are_related(stem, other) for other in known) for stem in own)
    return backed / len(own) if own else 0.0
