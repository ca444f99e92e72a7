"""The port of the local Prefect server: free, this stack's alone, and its own while the server is dead."""

import fcntl
import os
import socket
import tempfile
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path

_TRIES = 20


@contextmanager
def reserved_port(preferred: int, *, is_ours: bool = False) -> Generator[int]:
    """`preferred`, or if that is taken a port that is free; nobody else's for as long as the block lasts.

    `is_ours`: what listens there is this stack's own server, left by an earlier supervisor. Two stacks that start at
    once do not choose the same port, and a killed server's port goes to no other server or connection: its clients
    would work for another stack, with the wrong database.

    Raises:
        OSError: no port is free.
    """
    for port in (preferred, *(0 for _ in range(_TRIES))):
        with ExitStack() as held:
            found = _bound(port, held)
            if found is None and is_ours:
                found = port
            if found is not None and _is_locked_by_us(found, held):
                yield found
                return
    raise OSError("this machine has no free port on 127.0.0.1")


def _bound(port: int, held: ExitStack) -> int | None:
    """The port, bound by a socket that does not listen: our server may, which reuses addresses, and no stranger."""
    reservation = held.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
    reservation.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        reservation.bind(("127.0.0.1", port))
    except OSError:
        return None
    return int(reservation.getsockname()[1])


def _is_locked_by_us(port: int, held: ExitStack) -> bool:
    """Whether no other stack of this user has chosen the port; the kernel frees what a killed one held."""
    path = Path(tempfile.gettempdir()) / f"knowledge-{os.getuid()}-port-{port}.lock"
    lock = held.enter_context(path.open("a"))
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
