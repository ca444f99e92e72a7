"""PDF, by pypdf: the text of each page in the order in which the page draws it."""

import io

from pypdf import PdfReader
from pypdf.errors import DependencyError, PyPdfError

from knowledge.errors import DocumentRefused
from knowledge.readers.paragraphs import joined

_ENCRYPTED = "is encrypted: save it without a password first"


def text_of(data: bytes, name: str, max_bytes: int) -> str:
    """The text of all pages, an empty line between two.

    Raises:
        DocumentRefused: damaged, encrypted with a password, too long, or pictures of text only.
    """
    pages: list[str] = []
    size = 0
    try:
        reader = PdfReader(io.BytesIO(data))
        if reader.is_encrypted and not reader.decrypt(""):
            raise DocumentRefused(name, _ENCRYPTED)
        for page in reader.pages:
            pages.append(page.extract_text())
            size += len(pages[-1])
            if size > max_bytes:
                raise DocumentRefused(name, f"has more than {max_bytes:,} characters: split it")
    except DependencyError as error:
        raise DocumentRefused(name, _ENCRYPTED) from error
    # What a damaged file does to a parser is not only what the parser expects.
    except (PyPdfError, ValueError, TypeError, KeyError, IndexError, AttributeError, OSError, RecursionError) as error:
        raise DocumentRefused(
            name, f"cannot be read as PDF ({error or type(error).__name__}): is it damaged?"
        ) from error
    text = joined(pages)
    if not text:
        raise DocumentRefused(name, "has no text, only pictures of it perhaps: run it through OCR first")
    return text
