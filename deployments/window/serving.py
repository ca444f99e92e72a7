"""`knowledge serve`: the window on a port of this machine."""

import ipaddress
import socket
from collections.abc import Callable

import uvicorn

from deployments.database import open_database
from deployments.window.app import create_app
from knowledge.errors import ConfigurationError
from knowledge.settings import Settings

DEFAULT_PORT = 4300
_LAST_WORDS_SECONDS = 5
_CONNECTIONS = 1_000


def serve(settings: Settings, host: str, port: int, *, exposed: bool, on_ready: Callable[[str], None]) -> None:
    """Serves until it is told to stop; `on_ready` is told the URL. Port 0 takes any that is free.

    Raises:
        ConfigurationError: the address is not this machine's own and `exposed` is not set, or it cannot be used; or no
            stack runs and no `DATABASE_URL` is set.
    """
    if not exposed and not is_loopback(host):
        raise ConfigurationError(
            f"{host} can be reached from other machines, and tokens would cross the network as they are: put a proxy "
            "with TLS before the loopback address, or say --expose if you mean it"
        )
    with open_database(settings) as database, _bound(host, port) as listening:
        config = uvicorn.Config(
            create_app(settings, database),
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            limit_concurrency=_CONNECTIONS,
            timeout_graceful_shutdown=_LAST_WORDS_SECONDS,
        )
        on_ready(_url(listening))
        uvicorn.Server(config).run(sockets=[listening])


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach the address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bound(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        return socket.create_server(address[:2], family=family)
    except OSError as error:
        raise ConfigurationError(
            f"{host}:{port} cannot be served on ({error.strerror}): choose another --port"
        ) from error


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
