"""An HTTP transport whose connections show what they receive to a listener, in the callback that received it.

Between the `recv` of a response and the turn of the task that asked for it lie iterations of the event loop, full of
other tasks' work. Whoever must know of a response at once, because the process may be killed meanwhile, listens here.
The connections are a network backend for httpcore2, over asyncio's transports and its TLS; HTTP stays httpcore2's.
"""

import asyncio
import os
import select
import ssl
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, cast

import httpcore2
import httpx2 as httpx

Listener = Callable[[bytes], None]

# Whoever waits for a response also writes its request, so the asking task's context names who listens.
_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)

# RFC 8305's "Connection Attempt Delay", before the next of a host's addresses is tried as well.
_NEXT_ADDRESS_SECONDS = 0.25
# What may wait in memory for a reader. More stays with the kernel, and is lost if the process is killed.
_READ_AHEAD_BYTES = 4 * 2**20


@contextmanager
def heard_by(listener: Listener) -> Generator[None]:
    """Requests sent in the block have their responses heard by `listener`, also after it.

    It is called with each piece of the response's bytes, decrypted, as they were received, and with `b""` when the
    other side ends the stream. It must be quick and must not raise.
    """
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


def certificate_store() -> ssl.SSLContext:
    """The certificates of the authorities that are trusted, read once: that takes longer than asking a model does."""
    return _certificates(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@cache
def _certificates(file: str | None, directory: str | None) -> ssl.SSLContext:
    """Those that the two variables name, if they do: httpx2 looks for them."""
    return httpx.create_ssl_context()


class WireTransport(httpx.AsyncHTTPTransport):
    """httpx2's transport for HTTP/1.1, on connections that can be listened to. Proxies are not used."""

    def __init__(self, limits: httpx.Limits, ssl_context: ssl.SSLContext | None = None) -> None:
        context = ssl_context or certificate_store()
        super().__init__(verify=context, limits=limits)
        # httpx2 has no parameter for the backend of its pool.
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=context,
            max_connections=limits.max_connections,
            max_keepalive_connections=limits.max_keepalive_connections,
            keepalive_expiry=limits.keepalive_expiry,
            network_backend=WireBackend(),
        )


class WireBackend(httpcore2.AsyncNetworkBackend):
    """Connections over TCP; those over unix sockets are not implemented."""

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 -- the base class has it
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """A stream to the first of the host's addresses that accepts; asyncio sets TCP_NODELAY.

        Raises:
            httpcore2.ConnectTimeout, httpcore2.ConnectError
        """
        try:
            async with asyncio.timeout(timeout):
                _, wire = await asyncio.get_running_loop().create_connection(
                    _Wire,
                    host,
                    port,
                    local_addr=None if local_address is None else (local_address, 0),
                    happy_eyeballs_delay=_NEXT_ADDRESS_SECONDS,
                )
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout(error) from error
        except OSError as error:
            raise httpcore2.ConnectError(error) from error
        wire.configure(socket_options or ())
        return WireStream(wire)

    async def sleep(self, seconds: float) -> None:
        """Between attempts to connect."""
        await asyncio.sleep(seconds)


class WireStream(httpcore2.AsyncNetworkStream):
    """A connection with one reader and one writer at a time, which is how HTTP/1.1 is spoken."""

    def __init__(self, wire: "_Wire") -> None:
        self._wire = wire

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109
        """What has been received, at least a byte; `b""` when the other side has ended the stream.

        Raises:
            httpcore2.ReadTimeout, httpcore2.ReadError
        """
        if self._wire.must_wait_to_read:
            try:
                async with asyncio.timeout(timeout):
                    await self._wire.arrival()
            except TimeoutError as error:
                raise httpcore2.ReadTimeout(error) from error
        return self._wire.take(max_bytes)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        """Returns when the kernel has all of it.

        Raises:
            httpcore2.WriteTimeout, httpcore2.WriteError
        """
        if not buffer:
            return
        self._wire.send(buffer, _listener.get())
        if self._wire.must_wait_to_write:
            try:
                async with asyncio.timeout(timeout):
                    await self._wire.departure()
            except TimeoutError as error:
                raise httpcore2.WriteTimeout(error) from error

    async def aclose(self) -> None:
        """Drops the connection, and what is still to be sent on it."""
        self._wire.close()
        await asyncio.sleep(0)

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore2.AsyncNetworkStream:
        """This stream, encrypted from here on; closed when that fails.

        Raises:
            httpcore2.ConnectTimeout, httpcore2.ConnectError
        """
        try:
            async with asyncio.timeout(timeout):
                await self._wire.encrypt(ssl_context, server_hostname)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout(error) from error
        except OSError as error:  # ssl.SSLError is one
            raise httpcore2.ConnectError(error) from error
        return self

    def get_extra_info(self, info: str) -> Any:
        """What httpcore2's own backends know under these names; None for others."""
        if info == "is_readable":
            return self._wire.is_readable
        name = {"client_addr": "sockname", "server_addr": "peername"}.get(info, info)
        return self._wire.transport.get_extra_info(name)


class _Wire(asyncio.Protocol):
    """The loop's side of a connection: what arrives is heard first, then kept for the reader."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._listener: Listener | None = None
        self._received = bytearray()
        self._has_ended = False
        self._closed = False
        self._error: Exception | None = None
        self._reader: asyncio.Future[None] | None = None
        self._writer: asyncio.Future[None] | None = None
        self._is_full = False
        self._is_paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=0)

    def configure(self, options: Iterable[httpcore2.SOCKET_OPTION]) -> None:
        """Sets them on the socket.

        Raises:
            httpcore2.ConnectError: one is refused; the connection is closed.
        """
        try:
            for option in options:
                self.transport.get_extra_info("socket").setsockopt(*option)
        except OSError as error:
            self.close()
            raise httpcore2.ConnectError(error) from error

    def data_received(self, data: bytes) -> None:
        if self._listener is not None:
            self._listener(data)
        self._received += data
        _wake(self._reader)
        if len(self._received) > _READ_AHEAD_BYTES and not self._is_paused:
            self._is_paused = True
            self.transport.pause_reading()

    def eof_received(self) -> None:
        if self._listener is not None:
            self._listener(b"")
        self._has_ended = True
        _wake(self._reader)

    def connection_lost(self, exc: Exception | None) -> None:
        self._has_ended = True
        self._error = exc
        _wake(self._reader)
        _wake(self._writer)

    def pause_writing(self) -> None:
        self._is_full = True

    def resume_writing(self) -> None:
        self._is_full = False
        _wake(self._writer)

    @property
    def must_wait_to_read(self) -> bool:
        return not self._received and not self._has_ended and not self._closed

    @property
    def must_wait_to_write(self) -> bool:
        return self._is_full

    @property
    def is_readable(self) -> bool:
        """Whether a read would return at once, which on an idle connection means that it is over."""
        return not self.must_wait_to_read or self.transport.is_closing() or _has_news(self.transport)

    async def arrival(self) -> None:
        """Returns when there is something to take, or the end."""
        self._reader = asyncio.get_running_loop().create_future()
        await self._reader

    async def departure(self) -> None:
        """Returns when everything has been sent.

        Raises:
            httpcore2.WriteError: the connection was lost before.
        """
        self._writer = asyncio.get_running_loop().create_future()
        await self._writer
        if self._is_full:
            raise httpcore2.WriteError(self._error or "the connection was closed")

    def take(self, max_bytes: int) -> bytes:
        if self._received:
            taken = bytes(self._received[:max_bytes])
            del self._received[:max_bytes]
            if self._is_paused and not self._received:
                self._is_paused = False
                self.transport.resume_reading()
            return taken
        if self._error is not None or self._closed:
            raise httpcore2.ReadError(self._error or "the connection was closed") from self._error
        return b""

    def send(self, data: bytes, listener: Listener | None) -> None:
        if self.transport.is_closing():
            raise httpcore2.WriteError(self._error or "the connection was closed") from self._error
        self._listener = listener
        self.transport.write(data)

    async def encrypt(self, ssl_context: ssl.SSLContext, server_hostname: str | None) -> None:
        """Lets asyncio's TLS between the socket and this protocol, which receives plaintext in the same callback."""
        try:
            encrypted = await asyncio.get_running_loop().start_tls(
                self.transport, self, ssl_context, server_hostname=server_hostname
            )
            if encrypted is None:
                raise ConnectionResetError("the connection was lost in the TLS handshake")
        except BaseException:
            self.close()
            raise
        self.transport = encrypted
        # With 0, asyncio's TLS holds even an empty buffer for a full one.
        self.transport.set_write_buffer_limits(high=1)

    def close(self) -> None:
        self._closed = True
        self.transport.abort()


def _wake(waiter: asyncio.Future[None] | None) -> None:
    if waiter is not None and not waiter.done():
        waiter.set_result(None)


def _has_news(transport: asyncio.Transport) -> bool:
    """Whether the kernel has something, even if only the end, that the loop has not received yet."""
    descriptor: int = transport.get_extra_info("socket").fileno()
    if descriptor < 0:
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
