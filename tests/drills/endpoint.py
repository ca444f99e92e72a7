"""The drills' model endpoint: a process of its own that answers after a fixed time and logs every call.

Started as `python -m tests.drills.endpoint --latency SECONDS --log FILE`; it prints its base URL, and ends when its
standard input does. The log has a JSON object a line: `begun` (call, digest, kind), then `answered` (call, status,
and whether anybody was still there to hear it), and `lost` (call) for an answer that lay unread in its reader's
socket when that died: the kernel then resets the connection instead of closing it.
"""

import argparse
import hashlib
import itertools
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.drills.passages import understanding_model
from tests.scripted_endpoint import JSON

ROOT = Path(__file__).parents[2]


def digest_of(path: str, body: JSON) -> str:
    """16 hex digits that name a question: equal ones have equal digests, whoever asks."""
    question = json.dumps([path.rsplit("/", 1)[-1], body], sort_keys=True)
    return hashlib.sha256(question.encode()).hexdigest()[:16]


def kind_of(path: str, body: JSON) -> str:
    """The stage that asks: the answer schema's name, or `embeddings`."""
    if path.endswith("/embeddings"):
        return "embeddings"
    return str(body["response_format"]["json_schema"]["name"])


@contextmanager
def serving(log: Path, latency_seconds: float) -> Generator[str]:
    """The base URL of an endpoint process that lives as long as the block, or as we do."""
    command = [sys.executable, "-m", "tests.drills.endpoint", "--latency", str(latency_seconds), "--log", str(log)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.stdin.close()
        process.wait(timeout=10)


class _Log:
    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def write(self, event: str, call: int, **details: object) -> None:
        entry = {"event": event, "call": call, "at": time.time(), **details}
        # One write of a line is whole for whoever reads the file meanwhile.
        os.write(self._file, json.dumps(entry).encode() + b"\n")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, log: _Log, latency_seconds: float) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.log = log
        self.latency_seconds = latency_seconds
        self.numbers = itertools.count(1)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    _answered: int | None = None

    def handle(self) -> None:
        try:
            super().handle()
        except ConnectionError:
            if self._answered is not None:
                self._endpoint.log.write("lost", self._answered)

    def do_POST(self) -> None:
        server = self._endpoint
        body: JSON = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        call = next(server.numbers)
        # This connection's earlier answers have been read, or the client would not ask again.
        self._answered = None
        server.log.write("begun", call, digest=digest_of(self.path, body), kind=kind_of(self.path, body))
        reply = understanding_model(self.path, body)
        time.sleep(server.latency_seconds)
        data = json.dumps(reply.body).encode()
        delivered = self._is_heard() and self._send(reply.status, data)
        server.log.write("answered", call, status=reply.status, delivered=delivered)
        self._answered = call if delivered else None

    def _send(self, status: int, data: bytes) -> bool:
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        except ConnectionError:
            self.close_connection = True
            return False
        return True

    def _is_heard(self) -> bool:
        """Whether the client has its end open; one that was killed has not."""
        try:
            heard = self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            heard = True
        except ConnectionError:
            heard = False
        self.close_connection = self.close_connection or not heard
        return heard

    @property
    def _endpoint(self) -> _Server:
        assert isinstance(self.server, _Server)
        return self.server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class names it
        return


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency", type=float, required=True)
    parser.add_argument("--log", type=Path, required=True)
    arguments = parser.parse_args()
    server = _Server(_Log(arguments.log), arguments.latency)
    print(f"http://127.0.0.1:{server.server_address[1]}/v1", flush=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    sys.stdin.read()


if __name__ == "__main__":
    main()
