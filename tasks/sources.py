"""What a batch's sources name: folders, globs, manifests, files, URLs and ids of stored documents."""

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from knowledge.batches import Listed
from knowledge.documents import DOCUMENT_SUFFIXES, document_name
from knowledge.errors import LocationRefused
from knowledge.ids import DocumentId
from knowledge.manifests import MANIFEST_SUFFIXES, read_manifest
from knowledge.settings import DocumentSettings
from tasks.locations import allowed_directories, allowed_path, is_url, read_file

_WILDCARD = re.compile(r"[*?\[]")


@dataclass(slots=True)
class Listing:
    """What is found on the way: files that are still being written, and sources that are not there."""

    unsettled: list[str] = field(default_factory=list[str])
    absent: list[str] = field(default_factory=list[str])


class Sources:
    """Lists documents below the allowed directories; what is read is decided when it is read.

    A file that was changed less than `quiet_seconds` ago is still being written, and is left for later.
    """

    def __init__(
        self, settings: DocumentSettings, quiet_seconds: float = 0.0, now: Callable[[], float] = time.time
    ) -> None:
        self._settings = settings
        self._quiet_seconds = quiet_seconds
        self._now = now

    def canonical(self, sources: Sequence[str]) -> tuple[str, ...]:
        """The sources, each written the way that names it whoever asks: paths absolute, without `..` and links.

        Raises:
            LocationRefused: a path lies outside the allowed directories.
        """
        return tuple(self._canonical(source) for source in sources)

    def documents(self, sources: Sequence[str], ontology: str, listing: Listing) -> Iterator[Listed]:
        """The documents of canonical sources, folders and globs sorted, one at a time; `ontology` where none is said.

        Raises:
            InputRefused: a manifest cannot be read.
        """
        for source in sources:
            yield from self._documents(source, ontology, listing)

    def _canonical(self, source: str) -> str:
        if not source.strip() or "\0" in source:
            raise LocationRefused(source, "names no document: give a folder, glob, manifest, path, URL or id")
        if is_url(source) or source.startswith(f"{DocumentId.prefix}_"):
            return source
        wildcard = _WILDCARD.search(source)
        if wildcard is None or Path(source).exists():
            return str(allowed_path(source, self._settings))
        fixed, _, pattern = source[: wildcard.start()].rpartition("/")
        start = fixed or ("/" if source.startswith("/") else ".")
        return str(allowed_path(start, self._settings) / (pattern + source[wildcard.start() :]))

    def _documents(self, source: str, ontology: str, listing: Listing) -> Iterator[Listed]:
        path = Path(source)
        if is_url(source) or source.startswith(f"{DocumentId.prefix}_"):
            yield Listed(source, document_name(source), ontology)
        elif path.is_dir():
            yield from self._files(_below(path), ontology, listing)
        elif path.suffix.lower() in MANIFEST_SUFFIXES and path.is_file():
            yield from self._of_manifest(path, ontology, listing)
        elif _WILDCARD.search(source) and not path.exists():
            yield from self._files(self._matching(source), ontology, listing)
        else:
            if not path.is_file():
                listing.absent.append(source)
            yield from self._files([path], ontology, listing)

    def _files(self, paths: Sequence[Path], ontology: str, listing: Listing) -> Iterator[Listed]:
        for path in paths:
            if self._is_quiet(path):
                yield Listed(str(path), document_name(str(path)), ontology)
            else:
                listing.unsettled.append(str(path))

    def _of_manifest(self, manifest: Path, ontology: str, listing: Listing) -> Iterator[Listed]:
        data = read_file(manifest, str(manifest), self._settings.max_bytes)
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise LocationRefused(str(manifest), "is not UTF-8: save the manifest in that encoding") from error
        for entry in read_manifest(text, manifest.name):
            location = _beside(manifest, entry.path)
            read_with = ontology if entry.ontology is None else _beside(manifest, entry.ontology)
            found = Listed(location, entry.name or document_name(location), read_with)
            if Path(location).is_file() and not self._is_quiet(Path(location)):
                listing.unsettled.append(location)
            else:
                yield found

    def _matching(self, pattern: str) -> list[Path]:
        wildcard = _WILDCARD.search(pattern)
        assert wildcard is not None
        start, _, rest = pattern[: wildcard.start()].rpartition("/")
        found = Path(start or "/").glob(rest + pattern[wildcard.start() :])
        inside = allowed_directories(self._settings)
        return sorted(
            path for path in found if path.is_file() and any(path.resolve().is_relative_to(root) for root in inside)
        )

    def _is_quiet(self, path: Path) -> bool:
        if not self._quiet_seconds:
            return True
        try:
            return self._now() - path.stat().st_mtime >= self._quiet_seconds
        except OSError:
            # It has just gone, or cannot be looked at: reading it will say so.
            return True


def _below(folder: Path) -> list[Path]:
    """The documents in a folder and its sub-folders, sorted; hidden ones and other kinds of files are left out."""
    found: list[Path] = []
    for directory, below, files in os.walk(folder):
        below[:] = [name for name in below if not name.startswith(".")]
        found += [Path(directory, name) for name in files if is_document_name(name)]
    return sorted(found)


def is_document_name(name: str) -> bool:
    """Whether a file of this name in a folder is taken for a document."""
    return not name.startswith((".", "~$")) and Path(name).suffix.lower() in DOCUMENT_SUFFIXES


def _beside(manifest: Path, reference: str) -> str:
    """What a manifest's reference means: a relative path starts where the manifest is."""
    if is_url(reference) or re.match(r"(doc|ont)_[0-9a-f]{32}$", reference):
        return reference
    return str(Path(manifest.parent, reference))


def look_of(location: str, ontology: str) -> str:
    """How a document and its ontology look without being read: sizes and times of change of those that are files."""
    return ", ".join(filter(None, map(_look_of, (location, ontology))))


def _look_of(location: str) -> str:
    if is_url(location):
        return ""
    try:
        stat = Path(location).stat()
    except (OSError, ValueError):
        return ""
    return f"{stat.st_size} bytes at {stat.st_mtime_ns}"
