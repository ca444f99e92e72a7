"""What a chat model is shown: facts, the quotations that state them, and entities, as many as fit."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from knowledge.answers.answer import Citation
from knowledge.answers.extractive import cite_entity, cite_evidence, cite_relation
from knowledge.search.findings import Findings

DEFAULT_CHARACTERS = 12_000
"""About 3,000 tokens: room in any model, and what comes after the first facts seldom answers."""


@dataclass(frozen=True, slots=True)
class Context:
    """Lines for a prompt, and what each mark in them (F1, E1, N1) cites."""

    lines: tuple[str, ...]
    citations: Mapping[str, Citation]


def context_of(findings: Findings, max_characters: int = DEFAULT_CHARACTERS) -> Context:
    """The findings as lines of JSON, best first, each item once, up to `max_characters` in all."""
    lines: list[str] = []
    citations: dict[str, Citation] = {}
    left = max_characters
    for mark, line, citation in _items(findings):
        left -= len(line) + 1
        if left < 0:
            break
        lines.append(line)
        citations[mark] = citation
    return Context(tuple(lines), citations)


def _items(findings: Findings) -> Iterator[tuple[str, str, Citation]]:
    """Mark, line and citation of each fact, followed by its quotations and ends that are not listed yet."""
    marks: dict[str, str] = {}
    counts = {"F": 0, "E": 0, "N": 0}

    def mark(kind: str, key: str) -> str:
        counts[kind] += 1
        marks[key] = f"{kind}{counts[kind]}"
        return marks[key]

    for found in findings.facts:
        fact = found.fact
        said = mark("F", fact.id)
        yield said, _line(id=said, fact=fact.text, document=fact.document_name), cite_relation(fact)
        for evidence in fact.evidence:
            key = f"{fact.document_id} {evidence.span}"
            if key not in marks:
                said = mark("E", key)
                yield said, _line(id=said, quotation=evidence.text), cite_evidence(fact, evidence)
        for end in fact.ends:
            if end.id not in marks:
                said = mark("N", end.id)
                yield said, _line(id=said, entity=end.label, also=list(end.aliases)), cite_entity(end)


def _line(**values: object) -> str:
    return json.dumps(values, ensure_ascii=False)
