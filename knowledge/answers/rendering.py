"""Answers and findings as JSON objects, and answers as text for people."""

from collections.abc import Iterator, Mapping
from typing import Any

from knowledge.answers.answer import Answer, Citation
from knowledge.search.findings import Fact, Findings

Json = dict[str, Any]


def answer_json(answer: Answer) -> Json:
    """The object that `ask --json` prints."""
    return {
        "question": answer.question,
        "answered": answer.is_answered,
        "understood": answer.is_understood,
        "answer": answer.text,
        "values": list(answer.values),
        "sentences": [
            {"text": sentence.text, "citations": [_citation(citation) for citation in sentence.citations]}
            for sentence in answer.sentences
        ],
        "confidence": {"value": answer.confidence.value, "parts": dict(answer.confidence.parts)},
        "trace": [
            {
                "relation_id": step.relation_id,
                "fact": step.fact,
                "hops": step.hops,
                "via": list(step.via),
                "said": list(step.said),
            }
            for step in answer.trace
        ],
        "dropped": [{"text": dropped.text, "reason": dropped.reason} for dropped in answer.dropped],
        "reason": answer.reason,
        "notes": list(answer.notes),
        "by": {"name": answer.by.name, "model": answer.by.model, "prompt": answer.by.prompt},
        "usage": {
            "model_calls": answer.usage.model_calls,
            "input_tokens": answer.usage.input_tokens,
            "output_tokens": answer.usage.output_tokens,
        },
    }


def answer_lines(answer: Answer) -> Iterator[str]:
    """The answer for people: numbered citations, what was left out, how sure it is and why."""
    numbers: dict[Citation, int] = {}
    for sentence in answer.sentences:
        marks = "".join(f"[{numbers.setdefault(citation, len(numbers) + 1)}]" for citation in sentence.citations)
        yield f"{sentence.text} {marks}"
    if not answer.sentences:
        yield answer.text
    for note in answer.notes:
        yield f"({note})"
    if not answer.sentences:
        return
    yield ""
    for citation, number in numbers.items():
        place = f" {citation.document_name}:{citation.span.start}-{citation.span.end}" if citation.span else ""
        yield f"[{number}] {citation.kind.value} {citation.id}{place}: {citation.text}"
    parts = ", ".join(f"{name} {value:.2f}" for name, value in answer.confidence.parts.items())
    yield f"confidence {answer.confidence.value:.2f} ({parts})"


def findings_json(findings: Findings) -> Json:
    """The object that `search --json` prints."""
    return {
        "text": findings.question,
        "named": list(findings.named),
        "asked": [{"predicate": one.iri, "label": one.label, "fit": round(one.fit, 4)} for one in findings.asked],
        "facts": [
            {
                **fact_json(found.fact),
                "score": round(found.score, 6),
                "fit": round(found.fit, 4),
                "name_fit": round(found.name_fit, 4),
                "predicate_fit": round(found.predicate_fit, 4),
                "hops": found.hops,
                "via": list(found.via),
                "ranks": dict(found.ranks),
            }
            for found in findings.facts
        ],
        "entities": [
            {
                "id": found.entity.id,
                "label": found.entity.label,
                "aliases": list(found.entity.aliases),
                "classes": list(found.entity.classes),
                "score": round(found.score, 6),
                "ranks": dict(found.ranks),
            }
            for found in findings.entities
        ],
        "evidence": [
            {
                "text": found.text,
                "document_id": found.document_id,
                "document": found.document_name,
                "start": found.span.start,
                "end": found.span.end,
                "relations": list(found.relations),
                "score": round(found.score, 6),
                "ranks": dict(found.ranks),
            }
            for found in findings.passages
        ],
        "milliseconds": {name: round(spent, 2) for name, spent in findings.milliseconds.items()},
    }


def fact_json(fact: Fact) -> Mapping[str, object]:
    """A fact with its evidence; offsets are code points into the document, half-open."""
    return {
        "relation_id": fact.id,
        "fact": fact.text,
        "subject": fact.subject.label,
        "subject_id": fact.subject.id,
        "predicate": fact.predicate_label,
        "predicate_iri": fact.predicate,
        "object": fact.object_text,
        "object_id": fact.object.id if fact.object else None,
        "confidence": fact.confidence,
        "document_id": fact.document_id,
        "document": fact.document_name,
        "evidence": [
            {"id": said.id, "start": said.span.start, "end": said.span.end, "text": said.text} for said in fact.evidence
        ],
    }


def _citation(citation: Citation) -> Json:
    found: Json = {"kind": citation.kind.value, "id": citation.id, "text": citation.text}
    if citation.document_id is not None:
        found |= {"document_id": citation.document_id, "document": citation.document_name}
    if citation.span is not None:
        found |= {"start": citation.span.start, "end": citation.span.end}
    return found
