"""Where an export goes: a file, or an object in an S3-compatible store. A reader of either never sees half of it."""

import os
from collections.abc import Iterable
from pathlib import Path

from deployments.object_store import SCHEME, write_object
from knowledge.errors import ConfigurationError


def write_out(target: str, pieces: Iterable[bytes]) -> None:
    """Writes the pieces to the file or `s3://bucket/key`; what was there is replaced when all of it is written.

    Raises:
        InputRefused: the URL names no object.
        ConfigurationError: the target cannot be written.
    """
    if target.startswith(SCHEME):
        write_object(target, pieces)
        return
    try:
        _write_file(Path(target), pieces)
    except OSError as error:
        raise ConfigurationError(f"{target} was not written: {error.strerror or error}") from error


def _write_file(file: Path, pieces: Iterable[bytes]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    half = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        with half.open("wb") as opened:
            opened.writelines(pieces)
        half.replace(file)
    finally:
        half.unlink(missing_ok=True)
