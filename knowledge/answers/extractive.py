"""Extractive answers: the facts that answer, and the sentences of the documents that state them, word for word."""

from collections.abc import Sequence

from knowledge.answers.answer import (
    Answer,
    AnswerSentence,
    Citation,
    CitationKind,
    TraceStep,
)
from knowledge.answers.confidence import Confidence
from knowledge.answers.selection import answering_facts
from knowledge.domain import Extractor, Span
from knowledge.search.findings import Fact, FactEnd, FactEvidence, Findings, FoundFact
from knowledge.search.names import name_key

BY_EXTRACTION = Extractor("extractive answer", "evidence spans", settings="1")
_MAX_QUOTES = 6  # sentences; more evidence stands in the trace


def extractive_answer(findings: Findings) -> Answer:
    """The answer that needs no model: each answering fact in a line, then the evidence that states it.

    Its citations are still to be opened (see `validation`).
    """
    selection = answering_facts(findings)
    if not selection.facts:
        return Answer(findings.question, BY_EXTRACTION, reason=selection.reason, is_understood=selection.is_understood)
    found = selection.facts
    return Answer(
        question=findings.question,
        by=BY_EXTRACTION,
        sentences=(*_statements(found), *_quotations(found)),
        values=asked_values(findings, found),
        confidence=confidence_of(found),
        trace=trace_of(found),
        notes=_notes(findings, found),
    )


def _notes(findings: Findings, found: Sequence[FoundFact]) -> tuple[str, ...]:
    """Says whom an answer is about that the question does not name as the graph does, such as one misspelt."""
    if findings.named or findings.dates:
        return ()
    return (f"nothing bears a name of the question exactly; this is about {found[0].fact.subject.label}",)


def confidence_of(found: Sequence[FoundFact], support: float = 1.0) -> Confidence:
    """How sure an answer from these facts is (best first), of whose sentences the share `support` held."""
    best = max(one.fact.confidence for one in found)
    return Confidence(min(1.0, found[0].name_fit), min(1.0, found[0].predicate_fit), best, support)


def trace_of(found: Sequence[FoundFact]) -> tuple[TraceStep, ...]:
    """The facts, the hops to them, and the sentences that state them."""
    return tuple(
        TraceStep(one.fact.id, one.fact.text, one.hops, one.via, tuple(e.text for e in one.fact.evidence))
        for one in found
    )


def asked_values(findings: Findings, found: Sequence[FoundFact]) -> tuple[str, ...]:
    """The ends of the facts that the question does not name, each once."""
    named = {name_key(name) for name in findings.named}

    def is_named(end: FactEnd) -> bool:
        return any(name_key(name) in named for name in (end.label, *end.aliases))

    def value(fact: Fact) -> str:
        if fact.object is None and findings.dates and not findings.named:
            return fact.subject.label
        if fact.object is not None and is_named(fact.object) and not is_named(fact.subject):
            return fact.subject.label
        return fact.object_text

    return tuple(dict.fromkeys(value(one.fact) for one in found))


def cite_relation(fact: Fact) -> Citation:
    """The fact itself."""
    return Citation(CitationKind.RELATION, fact.id, fact.text, fact.document_id, fact.document_name)


def cite_entity(end: FactEnd) -> Citation:
    """An entity at a fact's end."""
    return Citation(CitationKind.ENTITY, end.id, end.label)


def cite_evidence(fact: Fact, evidence: FactEvidence) -> Citation:
    """A span that states the fact."""
    return Citation(
        CitationKind.EVIDENCE, evidence.id, evidence.text, fact.document_id, fact.document_name, evidence.span
    )


def _statements(found: Sequence[FoundFact]) -> list[AnswerSentence]:
    """A line for each subject and predicate, with all its objects."""
    groups: dict[tuple[str, str], list[Fact]] = {}
    for one in found:
        groups.setdefault((one.fact.subject.label, one.fact.predicate_label), []).append(one.fact)
    return [
        AnswerSentence(
            f"{subject} — {predicate} — {', '.join(dict.fromkeys(fact.object_text for fact in facts))}.",
            tuple(
                dict.fromkeys(
                    citation
                    for fact in facts
                    for citation in (cite_relation(fact), *(cite_entity(end) for end in fact.ends))
                )
            ),
        )
        for (subject, predicate), facts in groups.items()
    ]


def _quotations(found: Sequence[FoundFact]) -> list[AnswerSentence]:
    """The evidence, first one sentence of every fact; each sentence once, citing each place where it stands."""
    by_text: dict[str, dict[tuple[str, Span], Citation]] = {}
    facts = [one.fact for one in found]
    for n in range(max(len(fact.evidence) for fact in facts)):
        for fact in facts:
            if n < len(fact.evidence):
                evidence = fact.evidence[n]
                places = by_text.setdefault(" ".join(evidence.text.split()), {})
                places.setdefault((fact.document_id, evidence.span), cite_evidence(fact, evidence))
    quotes = list(by_text.items())[:_MAX_QUOTES]
    return [AnswerSentence(f"“{text}”", tuple(places.values())) for text, places in quotes]
