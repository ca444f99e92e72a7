"""What is in no graph although a model said it: found again from the stored answers."""

from knowledge.domain import Extractor
from knowledge.exports.report import LeftOut
from knowledge.exports.report.left_out import left_out_of
from knowledge.findings import FoundMentions, ListedMention, ListedThing, Rejection, Statement
from knowledge.ids import ExtractionId, OrganizationId
from knowledge.pipeline import ExtractionOptions
from knowledge.stages.mentions import find_mentions
from tests.sample import TEXT, sample_document, sample_ontology

_DOCUMENT = sample_document(OrganizationId("acme"))
_EXTRACTION = ExtractionId.derive("a test")


def _answer(*statements: Statement) -> FoundMentions:
    things = (
        ListedThing("e1", "Ada Brandt", ("scientist",), (ListedMention("Ada Brandt"),)),
        ListedThing("e2", "Oslo", ("city",), (ListedMention("Oslo"),)),
    )
    placed = find_mentions(TEXT, things, sample_ontology())
    return FoundMentions(
        placed.mentions, placed.things, statements, Extractor("chat", "m"), rejections=(Rejection("is odd", "Bergen"),)
    )


def _left_out(answer: FoundMentions, *, strict: bool = False) -> tuple[LeftOut, ...]:
    options = ExtractionOptions(strict=strict)
    return left_out_of(_DOCUMENT, sample_ontology(), options, {0: answer}, _EXTRACTION)


def test_every_rejection_of_a_chunk_is_told_and_unmapped_facts_as_such() -> None:
    """What the mentions stage rejected is in its answer; what later stages rejected they reject again."""
    quote = "Ada Brandt was born in Oslo on 4 May 1901."
    painted = Statement("e1", "painted", "e2", quote=quote)
    nobody = Statement("e7", "born in", "e2", quote=quote)
    born = Statement("e1", "born in", "e2", quote=quote)
    assert _left_out(_answer(painted, nobody, born)) == (
        LeftOut("is odd", "Bergen", 0),
        LeftOut("has a predicate that the ontology does not have", "Ada Brandt painted Oslo", 0, is_unmapped=True),
        LeftOut("is about a thing that is not listed", "e7 born in Oslo", 0),
    )


def test_a_strict_run_also_left_out_what_contradicts_the_ontology() -> None:
    """Flagged in an ordinary graph, absent from a strict one."""
    backwards = _answer(Statement("e2", "born in", "e1", quote="Ada Brandt was born in Oslo on 4 May 1901."))
    assert len(_left_out(backwards)) == 1
    assert [part.reason for part in _left_out(backwards, strict=True)] == [
        "is odd",
        "is outside domain and outside range",
    ]


def test_a_chunk_without_an_answer_left_nothing_out() -> None:
    """Its failure is in the history."""
    assert left_out_of(_DOCUMENT, sample_ontology(), ExtractionOptions(), {}, _EXTRACTION) == ()
