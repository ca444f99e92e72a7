"""Reads one document: a header line and its bytes on standard input, a JSON object on standard output."""

import json
import resource
import sys
from contextlib import suppress
from typing import Any

from knowledge.errors import DocumentRefused
from knowledge.readers.reading import read_here

_MEMORY_BYTES = 2 * 1024**3


def main() -> None:
    """Read, print."""
    given = sys.stdin.buffer
    header: dict[str, Any] = json.loads(given.readline())
    cpu_seconds = int(header["seconds"]) + 1
    for kind, bound in ((resource.RLIMIT_AS, _MEMORY_BYTES), (resource.RLIMIT_CPU, cpu_seconds)):
        with suppress(ValueError, OSError):  # a lower bound is set already
            resource.setrlimit(kind, (bound, bound))
    name = header["name"]
    try:
        said = {"text": read_here(header["module"], given.read(), name, header["max_bytes"])}
    except DocumentRefused as error:
        said = {"refused": error.message.removeprefix(f"document {name!r} ")}
    sys.stdout.write(json.dumps(said))


if __name__ == "__main__":
    main()
