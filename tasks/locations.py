"""Where runs may read: files below the allowed directories, and URLs."""

import re
from pathlib import Path

from knowledge.errors import LocationRefused
from knowledge.settings import DocumentSettings

_URL = re.compile(r"https?://", re.IGNORECASE)


def is_url(location: str) -> bool:
    """Whether the location is fetched rather than read from a file."""
    return _URL.match(location) is not None


def allowed_directories(settings: DocumentSettings) -> tuple[Path, ...]:
    """The directories below which files may be read, links followed; without any, where this process was started."""
    roots = [root for root in settings.allowed_roots if not is_url(root)] or [str(Path.cwd())]
    return tuple(Path(root).expanduser().resolve() for root in roots)


def allowed_path(location: str, settings: DocumentSettings) -> Path:
    """The file or directory that a path means: a relative one is looked for below each directory; links are followed.

    Raises:
        LocationRefused: it lies below none of the allowed directories.
    """
    roots = allowed_directories(settings)
    candidates = [(root / location).resolve() for root in roots]
    inside = [path for path in candidates if any(path.is_relative_to(root) for root in roots)]
    if not inside:
        raise LocationRefused(
            location, "lies outside the directories this installation may read (KNOWLEDGE_DOCUMENTS__ALLOWED_ROOTS)"
        )
    return next((path for path in inside if path.exists()), inside[0])


def read_file(path: Path, shown: str, max_bytes: int) -> bytes:
    """The file's bytes, at most one more than `max_bytes`, so that an over-long one is seen to be.

    Raises:
        LocationRefused: there is no such file, or it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(max_bytes + 1)
    except IsADirectoryError as error:
        raise LocationRefused(shown, "is a directory: name a file, or give a folder of documents to a batch") from error
    except OSError as error:
        raise LocationRefused(shown, f"cannot be read ({error.strerror or error})") from error
