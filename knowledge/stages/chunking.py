"""Chunks: runs of whole sentences whose borders do not move when the text changes elsewhere.

A segment that is too long is split at the boundary with the smallest priority, and its parts again. Priorities
come from the characters around a boundary only, so an edit leaves every boundary outside its own neighbourhood
where it was (content-defined chunking, after Muthitacharoen et al., LBFS, 2001; split top-down instead of in
a scan, which needs no resynchronisation). Paragraph breaks go before sentence ends, those before white space.
"""

import hashlib
import re
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from nupunkt import sent_spans  # type: ignore[attr-defined]

from knowledge.domain import Chunk, Document, Span
from knowledge.ids import ChunkId

STAGE_VERSION = "2"
_CONTEXT_CHARACTERS = 24
_RECURRING_CHARACTERS = 5000
_PARAGRAPH_BREAK = re.compile(r"\r?\n[ \t]*(?:\r?\n[ \t]*)+")
_WHITE_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True, order=True)
class _Boundary:
    """A place where a text may be cut; the smallest is the best. `tier` 0 ends a paragraph, 1 a sentence."""

    tier: int
    priority: bytes
    position: int


def chunk_document(document: Document, max_characters: int, lead_characters: int = 0) -> tuple[Chunk, ...]:
    """The document's chunks in order, without overlap; only white space lies between them.

    Each chunk's lead are the whole sentences before it, as many as `lead_characters` hold.

    No chunk is longer than `max_characters`; a sentence is cut (at white space, if it has any) only when it
    is longer than that by itself. Ids come from document, text and place among equal texts.
    """
    text = document.text
    boundaries = sorted(_boundaries(text), key=lambda boundary: boundary.position)
    sentence_starts = [sentence.start for sentence in sentence_spans(text)]
    seen: dict[str, int] = {}
    chunks: list[Chunk] = []
    for span in _split(text, Span(0, len(text)), boundaries, max_characters) if text else ():
        trimmed = _trimmed(text, span)
        if trimmed is None:
            continue
        piece = text[trimmed.start : trimmed.end]
        seen[piece] = seen.get(piece, -1) + 1
        chunk_id = ChunkId.derive(document.id, piece, str(seen[piece]))
        lead = _lead(text, trimmed.start, sentence_starts, lead_characters)
        chunks.append(Chunk(chunk_id, len(chunks), trimmed, piece, lead))
    return tuple(chunks)


def _lead(text: str, start: int, sentence_starts: list[int], lead_characters: int) -> str:
    first = bisect_left(sentence_starts, start - lead_characters)
    return text[sentence_starts[first] : start] if first < bisect_left(sentence_starts, start) else ""


@lru_cache(maxsize=64)
def sentence_spans(text: str) -> tuple[Span, ...]:
    """The sentences of a text in order, trimmed of white space; a paragraph break always ends one."""
    spans: list[Span] = []
    for paragraph in _paragraphs(text):
        piece = text[paragraph.start : paragraph.end]
        known = _sentences if len(piece) <= _RECURRING_CHARACTERS else _sentences.__wrapped__
        spans += [sentence.shifted(paragraph.start) for sentence in known(piece)]
    return tuple(spans)


# A document's paragraphs are seen again in its passages.
@lru_cache(maxsize=1024)
def _sentences(paragraph: str) -> tuple[Span, ...]:
    found = (_trimmed(paragraph, Span(start, end)) for start, end in sent_spans(paragraph) if end > start)
    return tuple(sentence for sentence in found if sentence is not None)


def _paragraphs(text: str) -> Iterator[Span]:
    start = 0
    for match in _PARAGRAPH_BREAK.finditer(text):
        if match.start() > start:
            yield Span(start, match.start())
        start = match.end()
    if start < len(text):
        yield Span(start, len(text))


def _boundaries(text: str) -> Iterator[_Boundary]:
    """The ends of paragraphs and sentences, but for the text's own end."""
    paragraph_ends = {match.start() for match in _PARAGRAPH_BREAK.finditer(text)}
    for sentence in sentence_spans(text)[:-1]:
        tier = 0 if sentence.end in paragraph_ends else 1
        yield _Boundary(tier, _priority(text, sentence.end), sentence.end)


def _priority(text: str, position: int) -> bytes:
    around = text[max(0, position - _CONTEXT_CHARACTERS) : position + _CONTEXT_CHARACTERS]
    return hashlib.blake2b(around.encode("utf-8", "surrogatepass"), digest_size=8).digest()


def _split(text: str, segment: Span, boundaries: list[_Boundary], max_characters: int) -> Iterator[Span]:
    pending = [(segment, boundaries)]
    while pending:
        part, inside = pending.pop()
        length = part.end - part.start
        if length <= max_characters:
            yield part
            continue
        cut = _best_cut(text, part, inside, max_characters)
        pending.append((Span(cut, part.end), [b for b in inside if b.position > cut]))
        pending.append((Span(part.start, cut), [b for b in inside if b.position < cut]))


def _best_cut(text: str, part: Span, inside: list[_Boundary], max_characters: int) -> int:
    """Where to cut: both sides keep a quarter of a chunk, and two halves that can both fit do fit."""
    length = part.end - part.start
    margin = max(max_characters // 4, length - max_characters if length <= 2 * max_characters else 0)
    eligible = [b for b in inside if part.start + margin <= b.position <= part.end - margin]
    if not eligible:
        eligible = [b for b in inside if part.start < b.position < part.end]
    if eligible:
        return min(eligible).position
    window = (part.start + max_characters // 2, part.start + max_characters)
    spaces = [match.start() for match in _WHITE_SPACE.finditer(text, *window)]
    return min(spaces, key=lambda position: _priority(text, position)) if spaces else window[1]


def _trimmed(text: str, span: Span) -> Span | None:
    piece = text[span.start : span.end]
    stripped = piece.strip()
    if not stripped:
        return None
    start = span.start + len(piece) - len(piece.lstrip())
    return Span(start, start + len(stripped))
