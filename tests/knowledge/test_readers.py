"""From a document's bytes to its text, whatever program wrote it; and what cannot be read says why."""

import io
import sys

import docx
import pytest
from pypdf import PdfWriter
from pypdf.generic import DecodedStreamObject, DictionaryObject, NameObject

from knowledge.errors import ConfigurationError, DocumentRefused
from knowledge.readers import read_document, reading
from knowledge.readers.reading import media_type_of, read_apart

_LIMIT = 100_000


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What readers say does not depend on where they say it, but the time does."""
    monkeypatch.setattr(reading, "read_apart", reading.read_here)


def _read(data: bytes, location: str, max_bytes: int = _LIMIT) -> str:
    return read_document(data, "paper", location, max_bytes).text


def pdf_of(*pages: str, password: str | None = None) -> bytes:
    """A PDF with a line of text on each page; one without text has only the page."""
    writer = PdfWriter()
    for said in pages:
        page = writer.add_blank_page(width=300, height=200)
        font = DictionaryObject(
            {
                NameObject("/Type"): NameObject("/Font"),
                NameObject("/Subtype"): NameObject("/Type1"),
                NameObject("/BaseFont"): NameObject("/Helvetica"),
            }
        )
        fonts = DictionaryObject({NameObject("/F1"): writer._add_object(font)})  # pyright: ignore[reportPrivateUsage]
        page[NameObject("/Resources")] = DictionaryObject({NameObject("/Font"): fonts})
        stream = DecodedStreamObject()
        stream.set_data(f"BT /F1 12 Tf 20 100 Td ({said}) Tj ET".encode("latin-1"))
        page[NameObject("/Contents")] = writer._add_object(stream)  # pyright: ignore[reportPrivateUsage]
    if password is not None:
        writer.encrypt(password, algorithm="RC4-128")
    written = io.BytesIO()
    writer.write(written)
    return written.getvalue()


def docx_of(*paragraphs: str, table: tuple[tuple[str, ...], ...] = ()) -> bytes:
    """A Word document with these paragraphs, then a table."""
    document = docx.Document()
    for said in paragraphs:
        document.add_paragraph(said)
    if table:
        grid = document.add_table(rows=0, cols=len(table[0]))
        for row in table:
            for cell, said in zip(grid.add_row().cells, row, strict=True):
                cell.text = said
    written = io.BytesIO()
    document.save(written)
    return written.getvalue()


@pytest.mark.parametrize("location", ["a.txt", "a.md", "notes", "https://example.org/a.md?x=1"])
def test_plain_text_is_taken_code_point_for_code_point(location: str) -> None:
    """Offsets into the graph are offsets into the file."""
    text = "# Ada\r\n\r\n*Brandt*  was\tborn in Oslo \U0001f600.\n"
    assert _read(text.encode(), location) == text


def test_html_gives_what_a_reader_sees() -> None:
    """Scripts, navigation and mark-up are nobody's facts, and blocks are paragraphs."""
    page = (
        "<html><head><title>Ada Brandt</title><style>p{}</style></head><body><nav>Home | About</nav>"
        "<h1>Ada Brandt</h1><p>Ada <b>Brandt</b> was\n born&nbsp;in Oslo.<script>alert(1)</script></p>"
        "<ul><li>Won &amp; kept</li><li>the Prize</li></ul><table><tr><td>Born</td><td>1901</td></tr></table>"
    )
    assert _read(page.encode(), "a.html").split("\n\n") == [
        "Ada Brandt",
        "Ada Brandt was born in Oslo.",
        "Won & kept",
        "the Prize",
        "Born 1901",
    ]


def test_html_is_read_in_the_encoding_that_it_names() -> None:
    """Old pages are not UTF-8."""
    page = '<meta charset="iso-8859-1"><p>Zoë lived in Tromsø.'
    assert _read(page.encode("latin-1"), "a.htm") == "Zoë lived in Tromsø."


def test_deeply_nested_html_is_read() -> None:
    """A page cannot exhaust the stack of whoever reads it."""
    assert _read(b"<div>" * 10_000 + b"deep", "a.html") == "deep"


def test_a_pdf_gives_the_text_of_its_pages() -> None:
    """Page by page, set apart."""
    assert _read(pdf_of("Ada Brandt was born in Oslo.", "She won."), "a.PDF") == (
        "Ada Brandt was born in Oslo.\n\nShe won."
    )


def test_a_word_document_gives_paragraphs_and_rows() -> None:
    """In their order; cells are set apart."""
    data = docx_of("Ada Brandt", "", "was born in Oslo.", table=(("Born", "1901"), ("Won", "1930")))
    assert _read(data, "a.docx").split("\n\n") == ["Ada Brandt", "was born in Oslo.", "Born 1901", "Won 1930"]


@pytest.mark.parametrize(
    ("data", "location", "reason"),
    [
        (b"", "a.pdf", "is empty"),
        (b"", "a.txt", "is empty"),
        (b"<p> </p>", "a.html", "is empty"),
        (pdf_of(""), "a.pdf", "OCR"),
        (pdf_of("secret", password="p"), "a.pdf", "is encrypted"),
        (b"%PDF-1.7 nonsense", "a.pdf", "cannot be read as PDF"),
        (pdf_of("whole")[:300], "a.pdf", "cannot be read as PDF"),
        (b"PK nonsense", "a.docx", "cannot be read as a Word document"),
        (docx_of("whole")[:2000], "a.docx", "cannot be read as a Word document"),
        (b"\xd0\xcf\x11\xe0 encrypted office", "a.docx", "cannot be read as a Word document"),
        (b"\x00\x01binary", "a.txt", "looks binary"),
        (pdf_of("x"), "unnamed", None),
    ],
)
def test_what_cannot_be_read_says_why(data: bytes, location: str, reason: str | None) -> None:
    """A batch shows the reason beside the document; a PDF without a suffix is known by how it begins."""
    if reason is None:
        assert media_type_of(location, data) == "application/pdf"
        return
    with pytest.raises(DocumentRefused, match=reason):
        _read(data, location)


@pytest.mark.parametrize(
    ("data", "location"),
    [(b"a" * 501, "a.txt"), (b"<p>" + b"a" * 501, "a.html"), (docx_of("a" * 600), "a.docx")],
)
def test_what_is_too_long_is_refused(data: bytes, location: str) -> None:
    """Whatever it is written in."""
    with pytest.raises(DocumentRefused, match="bytes"):
        _read(data, location, max_bytes=500)


def test_a_word_document_that_unpacks_without_end_is_refused() -> None:
    """A few kilobytes may unpack to gigabytes."""
    data = docx_of("a" * 3_000_000)
    with pytest.raises(DocumentRefused, match="unpacks to"):
        _read(data, "a.docx", max_bytes=len(data))


def test_without_the_packages_the_error_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are an extra."""
    monkeypatch.setitem(sys.modules, "pypdf", None)
    with pytest.raises(ConfigurationError, match=r"durable-knowledge\[documents\]"):
        _read(b"%PDF-1.7", "a.pdf")


def test_dangerous_formats_are_read_in_a_process_of_their_own() -> None:
    """It says the same, in whatever words and alphabets; and if it does not end, it is ended."""
    page = docx_of("Zoë \U0001f600 wohnt in Tromsø.")
    assert read_apart("docx", page, "paper", _LIMIT) == "Zoë \U0001f600 wohnt in Tromsø."
    with pytest.raises(DocumentRefused, match=r"^document 'paper' is encrypted"):
        read_apart("pdf", pdf_of("secret", password="p"), "paper", _LIMIT)
    with pytest.raises(DocumentRefused, match="could not be read within"):
        read_apart("pdf", pdf_of("slow"), "paper", _LIMIT, seconds=0.001)
    with pytest.raises(DocumentRefused, match="ended the process"):
        read_apart("no such reader", b"", "paper", _LIMIT)
