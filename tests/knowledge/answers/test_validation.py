"""Citations are opened: what a sentence says must stand behind them."""

from collections.abc import Mapping, Sequence

import pytest

from knowledge.answers.answer import AnswerSentence, Citation, CitationKind
from knowledge.answers.validation import validate
from knowledge.ids import EntityId, EvidenceId, RelationId
from knowledge.search.findings import Fact, FactEnd
from knowledge.search.ports import Quotation

EVIDENCE = EvidenceId.derive("said")
MOVED = EvidenceId.derive("moved")
ADA = EntityId.derive("ada")
SAID = "Ada Brandt was born in Oslo on 4 May 1901 and won the Palme d'Or."


class _Graph:
    def entities(self, entity_ids: Sequence[EntityId]) -> Mapping[EntityId, FactEnd]:
        return {ADA: FactEnd(ADA, "Ada Brandt", ("Brandt",), ())} if ADA in entity_ids else {}

    def facts(self, relation_ids: Sequence[RelationId], labels: Mapping[str, str]) -> Mapping[RelationId, Fact]:
        return {}

    def quotations(self, evidence_ids: Sequence[EvidenceId]) -> Mapping[EvidenceId, Quotation]:
        known = {EVIDENCE: Quotation(SAID, SAID), MOVED: Quotation(SAID, "Something else stands there now.")}
        return {i: known[i] for i in evidence_ids if i in known}


def _dropped(text: str, *citations: Citation) -> str:
    """Why the sentence is dropped; empty when it is kept."""
    held = validate([AnswerSentence(text, citations)], _Graph(), {})
    assert len(held.sentences) + len(held.dropped) == 1
    return held.dropped[0].reason if held.dropped else ""


def _evidence(evidence_id: EvidenceId = EVIDENCE) -> Citation:
    return Citation(CitationKind.EVIDENCE, evidence_id, SAID)


@pytest.mark.parametrize(
    "text",
    [
        "Ada Brandt was born in Oslo.",
        "She was born on 4 May 1901.",
        "Her birth was on 04 May 1901, in Oslo.",
        "Brandt won the Palme d'Or.",
        "“Ada Brandt was born in Oslo”",
    ],
)
def test_what_the_evidence_says_is_kept(text: str) -> None:
    """In its own words or in others."""
    assert _dropped(text, _evidence()) == ""


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Ada Brandt was born in Bergen.", "does not say 'Bergen'"),
        ("Ada Brandt was born on 5 May 1901.", "does not say '5'"),
        ("Ada Brandt was born in 1902.", "does not say '1902'"),
        ("Ada Brandt enjoyed sailing and playing chess.", "of its words"),
    ],
)
def test_what_the_evidence_does_not_say_is_dropped(text: str, reason: str) -> None:
    """Another place, another day, another life: each is told why."""
    assert reason in _dropped(text, _evidence())


def test_a_sentence_without_citations_is_dropped() -> None:
    """However true it is."""
    assert _dropped("Ada Brandt was born in Oslo.") == "it cites nothing"


@pytest.mark.parametrize("citation", [_evidence(EvidenceId.derive("none")), _evidence(MOVED)])
def test_citations_that_lead_nowhere_or_not_to_what_they_quote_are_dropped(citation: Citation) -> None:
    """An id that the graph lacks, and evidence whose document says something else at its place."""
    assert "is not in the graph" in _dropped("Ada Brandt was born in Oslo.", citation)


def test_one_citation_that_does_not_hold_drops_the_sentence() -> None:
    """A good citation does not lend its weight to a made-up one."""
    made_up = Citation(CitationKind.ENTITY, EntityId.derive("nobody"), "Nobody")
    assert "is not in the graph" in _dropped("Ada Brandt was born in Oslo.", _evidence(), made_up)
