"""Word documents (.docx), by python-docx: paragraphs and tables in their order."""

import io
import zipfile
from collections.abc import Iterator

import docx
from docx.document import Document as WordDocument
from docx.opc.exceptions import PackageNotFoundError
from docx.table import Table, _Cell  # pyright: ignore[reportPrivateUsage]
from docx.text.paragraph import Paragraph

from knowledge.errors import DocumentRefused
from knowledge.readers.paragraphs import joined

_DAMAGED = "cannot be read as a Word document: is it damaged, or encrypted?"
# Pictures and styles are not text, but a document may well have more of them.
_UNPACKED_SHARE = 20


def text_of(data: bytes, name: str, max_bytes: int) -> str:
    """The text of paragraphs and of table rows, cells set apart by spaces.

    Raises:
        DocumentRefused: damaged, encrypted, or unpacking to far more than it may have.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > _UNPACKED_SHARE * max_bytes:
            raise DocumentRefused(name, f"unpacks to {unpacked:,} bytes, which is more than a document of text has")
        return joined(_texts(docx.Document(io.BytesIO(data))))
    except (zipfile.BadZipFile, PackageNotFoundError) as error:
        raise DocumentRefused(name, _DAMAGED) from error
    except (ValueError, KeyError, AttributeError, TypeError, OSError, SyntaxError) as error:
        raise DocumentRefused(name, f"{_DAMAGED} ({error})") from error


def _texts(container: WordDocument | _Cell) -> Iterator[str]:
    for part in container.iter_inner_content():
        if isinstance(part, Paragraph):
            yield part.text
        else:
            yield from _rows(part)


def _rows(table: Table) -> Iterator[str]:
    for row in table.rows:
        # A merged cell is in several places.
        yield " ".join(" ".join(_texts(cell)) for cell in dict.fromkeys(row.cells))
