"""What is text, and what is refused with the reason."""

import pytest

from knowledge.documents import document_name, read_text
from knowledge.errors import DocumentRefused


def test_text_is_kept_code_point_for_code_point() -> None:
    """Offsets are counted in it: line ends and all stay."""
    text = "Zürich\r\n\r\n𝄞 Tag\t1\n"
    assert read_text(text.encode(), "a.txt", 1000) == text


def test_a_byte_order_mark_is_not_part_of_the_text() -> None:
    """It is about the encoding."""
    assert read_text(b"\xef\xbb\xbfAda", "a.txt", 1000) == "Ada"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b" \n\t \r\n", "white space only"),
        ("\u00a0\u2003".encode(), "white space only"),
        (b"\x7fELF\x02\x01\x01\0\0\0\0", "binary"),
        (b"%PDF-1.7\n\xe2\xe3\xcf\xd3\n\0stream", "binary"),
        (b"abc\0def", "binary"),
        (b"\x01\x02\x03\x04" * 50, "binary"),
        ("Café".encode("latin-1"), "not UTF-8 .at byte 3"),
        ("Ada".encode("utf-16"), "UTF-8"),
        (b"x" * 1001, "longer than the 1,000 bytes"),
    ],
)
def test_what_is_not_a_text_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    """Before any model is asked, in a sentence that says what to do."""
    with pytest.raises(DocumentRefused, match=reason):
        read_text(data, "a.txt", 1000)


@pytest.mark.parametrize(
    ("location", "name"),
    [
        ("a/b/curie.txt", "curie"),
        ("https://example.org/x/radium.md", "radium"),
        ("notes", "notes"),
        ("C:\\texts\\ada.txt", "ada"),
        ("archive.tar.gz", "archive.tar"),
    ],
)
def test_a_document_is_called_by_its_files_stem(location: str, name: str) -> None:
    """What people recognise."""
    assert document_name(location) == name
