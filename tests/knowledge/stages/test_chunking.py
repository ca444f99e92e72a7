"""Chunks hold whole sentences, at exact offsets, and stay where they are when the text changes elsewhere."""

import random

import pytest

from knowledge.domain import Document, Span
from knowledge.ids import OrganizationId
from knowledge.stages.chunking import chunk_document, sentence_spans

ORGANIZATION = OrganizationId("acme")
WORDS = [
    "river",
    "stone",
    "lamp",
    "garden",
    "paper",
    "window",
    "quiet",
    "morning",
    "engine",
    "harbour",
    "silver",
    "letter",
    "bridge",
    "winter",
    "market",
]


def _document(text: str) -> Document:
    return Document.of(ORGANIZATION, "text", text)


def _paragraph(rng: random.Random) -> str:
    sentences = (
        " ".join(rng.choices(WORDS, k=rng.randint(6, 18))).capitalize() + "." for _ in range(rng.randint(2, 6))
    )
    return " ".join(sentences)


def _paragraphs(seed: int, count: int) -> list[str]:
    rng = random.Random(seed)
    return [_paragraph(rng) for _ in range(count)]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_every_chunk_is_the_text_at_its_offsets(line_end: str) -> None:
    """Offsets are what evidence is made of; CRLF counts like any other character."""
    text = (line_end * 2).join(_paragraphs(1, 60)) + " 🜚 Ünïcödé."
    for chunk in chunk_document(_document(text), 600):
        assert text[chunk.span.start : chunk.span.end] == chunk.text


def test_only_white_space_lies_between_chunks() -> None:
    """Nothing of the document goes unread."""
    text = "\n\n".join(_paragraphs(2, 60))
    chunks = chunk_document(_document(text), 600)
    ends = [0, *(chunk.span.end for chunk in chunks)]
    starts = [*(chunk.span.start for chunk in chunks), len(text)]
    assert all(not text[end:start].strip() for end, start in zip(ends, starts, strict=True))


def test_chunks_hold_whole_sentences() -> None:
    """A model that sees half a sentence invents the other half."""
    text = "\n\n".join(_paragraphs(3, 60))
    inside = {span for chunk in chunk_document(_document(text), 600) for span in _sentences_in(text, chunk.span)}
    assert inside == set(sentence_spans(text))


def _sentences_in(text: str, span: Span) -> list[Span]:
    return [sentence for sentence in sentence_spans(text) if span.contains(sentence)]


def test_no_chunk_is_longer_than_asked_even_when_a_sentence_is() -> None:
    """Models have limits; a list without full stops must not break them."""
    text = " ".join(random.Random(4).choices(WORDS, k=3000)) + "x" * 2000
    chunks = chunk_document(_document(text), 500)
    assert max(len(chunk.text) for chunk in chunks) <= 500
    assert sum(len(chunk.text.replace(" ", "")) for chunk in chunks) == len(text.replace(" ", ""))


@pytest.mark.parametrize("seed", range(20))
def test_a_changed_paragraph_leaves_distant_chunks_alone(seed: int) -> None:
    """An edited document must cost what was edited, wherever the edit is and however long."""
    rng = random.Random(seed)
    paragraphs = _paragraphs(seed, 200)
    before = {chunk.text for chunk in chunk_document(_document("\n\n".join(paragraphs)), 2000)}
    paragraphs[rng.randrange(200)] = _paragraph(rng)
    after = chunk_document(_document("\n\n".join(paragraphs)), 2000)
    changed = [chunk.index for chunk in after if chunk.text not in before]
    assert 1 <= len(changed) <= 3
    assert changed[-1] - changed[0] < len(changed)


def test_equal_texts_in_one_document_are_different_chunks() -> None:
    """Their ids tell them apart; their content, and so their cost, is the same."""
    sentence = "The same words again and again. " * 12
    chunks = chunk_document(_document("\n\n".join([sentence.strip()] * 6)), 400)
    assert len({chunk.id for chunk in chunks}) == len(chunks) > len({chunk.text for chunk in chunks})


def test_a_short_text_is_one_chunk() -> None:
    """No borders where none are needed."""
    (chunk,) = chunk_document(_document("  One sentence. Another one.\n"), 2000)
    assert (chunk.span, chunk.text) == (Span(2, 28), "One sentence. Another one.")


def test_a_lead_is_the_whole_sentences_before_a_chunk() -> None:
    """What is read with a chunk stands directly before it, so that offsets run on through both."""
    text = "\n\n".join(_paragraphs(9, 30))
    chunks = chunk_document(_document(text), 600, 300)
    assert chunks[0].lead == ""
    for chunk in chunks[1:]:
        assert 0 < len(chunk.lead) <= 300
        assert text[chunk.passage_start :].startswith(chunk.passage)
        assert any(sentence.start == chunk.passage_start for sentence in sentence_spans(text))
    assert [c.span for c in chunks] == [c.span for c in chunk_document(_document(text), 600)]
    assert all(not c.lead for c in chunk_document(_document(text), 600))
