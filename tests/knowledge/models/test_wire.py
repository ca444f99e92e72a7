"""Connections show what they receive at once, and are otherwise what httpcore2 expects of a connection."""

import asyncio
import gzip
import ipaddress
import socket
import ssl
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpcore2
import httpx2 as httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from knowledge.models.wire import WireBackend, WireTransport, certificate_store, heard_by

LIMITS = httpx.Limits(max_connections=10, max_keepalive_connections=10)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"


class Server:
    """Sends `answer` for each request; counts both. None: says nothing. A closing one closes after its answer."""

    def __init__(self, answer: bytes | None, *, closing: bool) -> None:
        self.answer = answer
        self.closing = closing
        self.connections = 0
        self.requests: list[bytes] = []
        self.ended = asyncio.Event()
        self.url = ""
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or b"0")
                self.requests.append(await reader.readexactly(length))
                if self.answer is not None:
                    writer.write(self.answer)
                if self.closing:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.ended.set()
            writer.close()


@asynccontextmanager
async def serving(
    answer: bytes | None = ANSWER, *, closing: bool = False, tls: ssl.SSLContext | None = None
) -> AsyncGenerator[Server]:
    """A server on the loopback address for as long as the block runs."""
    server = Server(answer, closing=closing)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    server.port = listening.sockets[0].getsockname()[1]
    server.url = f"{'https' if tls else 'http'}://127.0.0.1:{server.port}/v1"
    async with listening:
        yield server


def client(ssl_context: ssl.SSLContext | None = None, read_seconds: float = 30) -> httpx.AsyncClient:
    transport = WireTransport(LIMITS, ssl_context or ssl.create_default_context())
    return httpx.AsyncClient(transport=transport, timeout=httpx.Timeout(30, read=read_seconds))


@asynccontextmanager
async def pair() -> AsyncGenerator[tuple[httpcore2.AsyncNetworkStream, socket.socket]]:
    """A stream, and the other end of its connection, which reads and sends nothing by itself."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        stream = await WireBackend().connect_tcp(*listening.getsockname())
        other, _ = listening.accept()
        with other:
            try:
                yield stream, other
            finally:
                await stream.aclose()


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0)


def reset(other: socket.socket) -> None:
    other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    other.close()


def certificate(directory: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """What a server on 127.0.0.1 and a client that trusts it need."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "server.pem").write_bytes(secret + signed)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(directory / "server.pem")
    return server, ssl.create_default_context(cadata=signed.decode())


async def test_the_listener_hears_the_answer_in_the_callback_that_received_it() -> None:
    """Before the asking task has its turn lie other tasks' turns, and perhaps the end of the process."""
    heard: list[tuple[bytes, object]] = []
    async with serving() as server, client() as one:
        with heard_by(lambda piece: heard.append((piece, asyncio.current_task()))):
            await one.post(server.url, content=b"q")
    assert heard == [(ANSWER, None)]


async def test_each_request_of_a_connection_has_its_own_listener() -> None:
    """A connection is kept for the next question, which is somebody else's."""
    first, second = list[bytes](), list[bytes]()
    async with serving() as server, client() as one:
        with heard_by(first.append):
            await one.post(server.url, content=b"first")
        with heard_by(second.append):
            await one.post(server.url, content=b"second")
        await one.post(server.url, content=b"third")
    assert (server.connections, server.requests) == (1, [b"first", b"second", b"third"])
    assert (b"".join(first), b"".join(second)) == (ANSWER, ANSWER)


async def test_what_is_sent_over_tls_is_heard_decrypted(tmp_path: Path) -> None:
    """Most endpoints are https; a record of ciphertext would be worth nothing."""
    heard: list[bytes] = []
    for_server, for_client = certificate(tmp_path)
    async with serving(tls=for_server) as server, client(for_client) as one:
        for _ in range(2):
            with heard_by(heard.append):
                assert (await one.post(server.url, content=b"q" * 200_000)).text == "hello"
    assert (server.connections, len(server.requests[1])) == (1, 200_000)
    assert b"".join(heard) == ANSWER * 2


async def test_a_write_over_tls_does_not_wait_for_an_answer(tmp_path: Path) -> None:
    """A request is more than one write, and nothing comes before it is whole."""
    for_server, for_client = certificate(tmp_path)
    async with serving(answer=None, tls=for_server) as server:
        plain = await WireBackend().connect_tcp("127.0.0.1", server.port)
        stream = await plain.start_tls(for_client, "127.0.0.1")
        for piece in (b"POST / HTTP/1.1\r\n", b"Content-Length: 2\r\n", b"\r\n", b"ok"):
            await stream.write(piece, timeout=30)
        await until(lambda: server.requests == [b"ok"])
        assert isinstance(stream.get_extra_info("ssl_object"), ssl.SSLObject)
        await stream.aclose()
        await server.ended.wait()


async def test_a_certificate_that_is_not_trusted_is_a_connect_error(tmp_path: Path) -> None:
    """Nothing is sent to whom it is not meant for."""
    for_server, _ = certificate(tmp_path)
    async with serving(tls=for_server) as server, client() as one:
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await one.post(server.url, content=b"q")
    assert server.requests == []


async def test_a_server_that_does_not_speak_tls_in_time_is_a_connect_timeout() -> None:
    """Or a call would wait for ever before it is even made."""
    async with serving(answer=None) as server:
        stream = await WireBackend().connect_tcp("127.0.0.1", server.port)
        with pytest.raises(httpcore2.ConnectTimeout):
            await stream.start_tls(ssl.create_default_context(), "127.0.0.1", timeout=0.01)
        await server.ended.wait()


async def test_a_refused_connection_is_a_connect_error() -> None:
    """The caller tells an endpoint that is down from one that is slow by this."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(httpcore2.ConnectError):
            await WireBackend().connect_tcp("127.0.0.1", unused.getsockname()[1])


async def test_a_connection_that_is_not_made_in_time_is_a_connect_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    """An address that drops packets would hold the call for minutes."""

    async def never(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(asyncio.get_running_loop(), "sock_connect", never)
    with pytest.raises(httpcore2.ConnectTimeout):
        await WireBackend().connect_tcp("127.0.0.1", 9, timeout=0.01)


async def test_an_endpoint_that_does_not_answer_is_a_read_timeout() -> None:
    """It is the settings' `timeout_seconds` that bounds a call."""
    async with serving(answer=None) as server, client(read_seconds=0.02) as one:
        with pytest.raises(httpx.ReadTimeout):
            await one.post(server.url, content=b"q")
        await server.ended.wait()


async def test_a_request_that_is_not_taken_is_a_write_timeout() -> None:
    """Whoever reads nothing must not make us keep everything."""
    async with pair() as (stream, _):
        with pytest.raises(httpcore2.WriteTimeout):
            await stream.write(b"q" * 30_000_000, timeout=0.02)


async def test_a_write_ends_when_everything_is_sent() -> None:
    """A big request waits for a reader, and goes on when there is one."""
    async with pair() as (stream, other):
        other.setblocking(False)
        writing = asyncio.create_task(stream.write(b"q" * 30_000_000, timeout=30))
        left = 30_000_000
        while left:
            left -= len(await asyncio.get_running_loop().sock_recv(other, 1 << 20))
        await writing


async def test_a_connection_reset_in_the_middle_of_a_request_is_a_write_error() -> None:
    """The writer is told, or it would wait until its time is over."""
    async with pair() as (stream, other):
        writing = asyncio.create_task(stream.write(b"q" * 30_000_000, timeout=30))
        await asyncio.sleep(0)
        reset(other)
        with pytest.raises(httpcore2.WriteError):
            await writing


async def test_a_connection_reset_is_a_read_error_after_what_was_received() -> None:
    """What has arrived counts, whatever happens then."""
    async with pair() as (stream, other):
        other.sendall(b"half")
        await until(lambda: stream.get_extra_info("is_readable"))
        assert await stream.read(2) == b"ha"
        reset(other)
        assert await stream.read(64) == b"lf"
        with pytest.raises(httpcore2.ReadError):
            await stream.read(64)
        with pytest.raises(httpcore2.WriteError):
            await stream.write(b"q")


async def test_the_end_of_the_stream_is_an_empty_read_and_is_heard() -> None:
    """Responses without a length are complete when the stream ends."""
    heard: list[bytes] = []
    async with pair() as (stream, other):
        with heard_by(heard.append):
            await stream.write(b"q")
        other.sendall(b"answer")
        other.shutdown(socket.SHUT_WR)
        assert (await stream.read(64), await stream.read(64)) == (b"answer", b"")
    assert heard == [b"answer", b""]


async def test_a_closed_stream_fails_its_reader() -> None:
    """Nobody waits on a connection that is gone."""
    async with pair() as (stream, _):
        reading = asyncio.create_task(stream.read(64))
        await asyncio.sleep(0)
        await stream.aclose()
        with pytest.raises(httpcore2.ReadError):
            await reading


async def test_much_that_is_not_read_stays_with_the_sender() -> None:
    """An answer without end must not fill the memory; a reader gets all of it."""
    sent, read = 0, 0
    async with pair() as (stream, other):
        other.setblocking(False)
        idle = 0
        while idle < 50 and sent < 64 * 2**20:
            try:
                sent, idle = sent + other.send(b"a" * (1 << 20)), 0
            except BlockingIOError:
                idle += 1
            await asyncio.sleep(0)
        assert 4 * 2**20 < sent < 64 * 2**20
        other.shutdown(socket.SHUT_WR)
        while piece := await stream.read(1 << 16):
            read += len(piece)
    assert read == sent


async def test_a_stream_knows_its_ends_and_whether_it_is_over() -> None:
    """The pool asks before it sends a request on an idle connection, also before the loop has seen its end."""
    async with pair() as (stream, other):
        assert stream.get_extra_info("server_addr") == other.getsockname()
        assert stream.get_extra_info("client_addr") == other.getpeername()
        nodelay = stream.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert (nodelay != 0, stream.get_extra_info("ssl_object")) == (True, None)
        assert not stream.get_extra_info("is_readable")
        other.close()
        assert stream.get_extra_info("is_readable")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere only 127.0.0.1 is a loopback address")
async def test_socket_options_and_the_local_address_are_set() -> None:
    """httpx2 users set keepalives with them."""
    option = (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    async with serving() as server:
        stream = await WireBackend().connect_tcp(
            "127.0.0.1", server.port, local_address="127.0.0.2", socket_options=[option]
        )
        assert stream.get_extra_info("client_addr")[0] == "127.0.0.2"
        assert stream.get_extra_info("socket").getsockopt(*option[:2]) != 0
        await stream.aclose()


async def test_a_connection_that_the_server_has_closed_is_not_used_again() -> None:
    """Or the next question would fail for no reason."""
    async with serving(closing=True) as server, client() as one:
        for _ in range(2):
            assert (await one.post(server.url, content=b"q")).text == "hello"
    assert server.connections == 2


async def test_a_cancelled_call_closes_its_connection_and_leaves_the_pool_usable() -> None:
    """A lease that runs out, or a user, cancels calls; the run's other calls go on."""
    async with serving(answer=None) as server, client() as one:
        call = asyncio.create_task(one.post(server.url, content=b"q"))
        await until(lambda: len(server.requests) == 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await server.ended.wait()
        server.answer = ANSWER
        assert (await one.post(server.url, content=b"q")).text == "hello"
    assert server.connections == 2


async def test_compressed_and_chunked_answers_are_read_as_ever() -> None:
    """HTTP is httpcore2's; only the bytes come another way."""
    body = gzip.compress(b"hello" * 1000)
    head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with serving(head + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)) as server, client() as one:
        assert (await one.post(server.url, content=b"q")).text == "hello" * 1000


def test_certificates_are_read_once_and_again_when_the_environment_names_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A forked process has those of the process that it was forked from, whose environment may be another one."""
    _, for_client = certificate(tmp_path)
    (authority,) = for_client.get_ca_certs(binary_form=True)
    own = tmp_path / "own.pem"
    own.write_text(ssl.DER_cert_to_PEM_cert(authority))
    first = certificate_store()
    assert certificate_store() is first
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("SSL_CERT_FILE", str(own))
        assert certificate_store().get_ca_certs(binary_form=True) == [authority]
    assert certificate_store() is first
