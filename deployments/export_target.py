"""Where an export goes: files, or objects in an S3-compatible store. A reader of either never sees half of one."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from deployments.object_store import SCHEME, require_place, write_object
from knowledge.errors import ConfigurationError, InputRefused


@dataclass(frozen=True, slots=True)
class ExportDirectory:
    """A directory, or the objects below `s3://bucket/prefix`; an empty prefix is the bucket itself."""

    root: str

    @classmethod
    def of(cls, text: str) -> "ExportDirectory":
        """The directory that somebody named, seen to before there is anything to write.

        Raises:
            InputRefused: it is a URL, and none of a place in an S3-compatible store.
            ConfigurationError: the extra or credentials are missing, or the store has no such bucket or is silent;
                or no directory can be made of the path.
        """
        _refuse_other_urls(text)
        if text.startswith(SCHEME):
            text = SCHEME + text.removeprefix(SCHEME).removesuffix("/")
            require_place(text)
        else:
            _require_directory(Path(text))
        return cls(text)

    def at(self, *names: str) -> str:
        """The file or `s3://bucket/key` of that name below the directory."""
        if self.root.startswith(SCHEME):
            return "/".join((self.root, *names))
        return str(Path(self.root, *names))


def require_path(target: str) -> Path:
    """The path.

    Raises:
        InputRefused: it is a URL, which would otherwise become a directory of that name.
    """
    if _is_url(target):
        raise InputRefused(f"{target!r} is a URL, and this writes into a directory: give a path")
    return Path(target)


def _require_directory(place: Path) -> None:
    """Looks at what there is of the path, and makes nothing of the rest."""
    there = next(path for path in (place.absolute(), *place.absolute().parents) if os.path.lexists(path))
    if not there.is_dir():
        raise ConfigurationError(f"{place} cannot be written to: {there} is not a directory")
    if not os.access(there, os.W_OK | os.X_OK):
        raise ConfigurationError(f"{place} cannot be written to: you may not write into {there}")


def _refuse_other_urls(target: str) -> None:
    if _is_url(target) and not target.startswith(SCHEME):
        raise InputRefused(f"{target!r} cannot be written to: give a path, or a URL such as {SCHEME}bucket/prefix")


def _is_url(target: str) -> bool:
    scheme, mark, _ = target.partition("://")
    return bool(mark) and scheme.isalnum()


def write_out(target: str, pieces: Iterable[bytes], *, private: bool = False) -> None:
    """Writes the pieces to the file or `s3://bucket/key`; what was there is replaced when all of it is written.

    A `private` file is for its owner's eyes only. Who may read an object is the bucket's affair.

    Raises:
        InputRefused: the URL names no object, or is none of an S3-compatible store.
        ConfigurationError: the target cannot be written.
    """
    _refuse_other_urls(target)
    if target.startswith(SCHEME):
        write_object(target, pieces)
        return
    try:
        _write_file(Path(target), pieces, 0o600 if private else 0o666)
    except OSError as error:
        raise ConfigurationError(f"{target} was not written: {error.strerror or error}") from error


def _write_file(file: Path, pieces: Iterable[bytes], mode: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        half.touch(mode)
        with half.open("wb") as opened:
            opened.writelines(pieces)
        half.replace(file)
    finally:
        half.unlink(missing_ok=True)
