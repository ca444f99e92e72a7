"""Quotations are found where they stand, small liberties forgiven, and nowhere else."""

import pytest

from knowledge.domain import Span
from knowledge.quotes import locate, occurrences
from knowledge.stages.chunking import sentence_spans

TEXT = "“We won,” said\nAda. The prize — the first — went to her. Nobody else was there."


@pytest.mark.parametrize(
    ("quote", "found"),
    [
        ("said\nAda", "said\nAda"),
        ("said Ada", "said\nAda"),
        ('"we won," said ada.', "“We won,” said\nAda."),
        ("The prize - the first - went", "The prize — the first — went"),
    ],
)
def test_a_quotation_is_found_whatever_its_typography(quote: str, found: str) -> None:
    """Models tidy up quote marks, dashes, case and line breaks."""
    (span, *_) = occurrences(TEXT, quote)
    assert TEXT[span.start : span.end] == found


@pytest.mark.parametrize("quote", ["", "   ", "Ada lost", "prize the"])
def test_what_is_not_said_is_not_found(quote: str) -> None:
    """Evidence that is not there is none."""
    assert occurrences(TEXT, quote) == ()


def test_sentences_quoted_with_something_left_out_are_found_one_by_one() -> None:
    """Evidence may be two sentences that do not touch."""
    quote = "“We won,” said Ada. Nobody else was there."
    spans = locate(TEXT, quote, sentence_spans(TEXT))
    assert [TEXT[s.start : s.end] for s in spans] == ["“We won,” said\nAda.", "Nobody else was there."]


def test_special_characters_are_taken_literally() -> None:
    """A quotation is no pattern."""
    assert occurrences("a+b (c) [d]", "b (c)") == (Span(2, 7),)
