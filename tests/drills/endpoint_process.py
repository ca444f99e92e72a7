"""The drills' model endpoint, from inside.

Started as `python -m tests.drills.endpoint_process --latency SECONDS [--embedding-latency SECONDS] --log FILE`, it
prints its ports, then takes a fault plan (a JSON object, or null for none) a line from standard input, answers each
with the time from which it holds, and ends when its standard input does. The log has a JSON object
a line: `begun` (call, digest, kind, worker, and the fault that strikes it), then `answered` (call, status, whether
anybody was still there to hear it, and until when a 429 asked to be left alone), and `lost` (call) for an answer that
lay unread in its reader's socket when that died: the kernel then resets the connection instead of closing it.
"""

import argparse
import itertools
import json
import os
import select
import socket
import sys
import threading
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.drills.endpoint import WORKER_HEADER, digest_of, kind_of
from tests.drills.faults import (
    CHAT,
    EMBEDDINGS,
    ENDPOINTS,
    PLAN_OR_NONE,
    FaultKind,
    FaultPlan,
    Throttling,
    error_reply,
)
from tests.drills.nonsense_answers import kinds_of_nonsense, nonsense_of_kind
from tests.drills.passages import understanding_model
from tests.scripted_endpoint import JSON, Reply

_HELD_SECONDS = 3600.0
_ERROR_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question as it came in, and the plan that strikes it, if one does."""

    call: int
    path: str
    body: JSON
    digest: str
    kind: str
    time_asked: int
    struck_by: FaultPlan | None


class _Scene:
    """What both servers share: the log, the fault plan, and how often each question was asked since it holds."""

    def __init__(self, log: Path, latency_seconds: float, embedding_seconds: float | None) -> None:
        self._latency_seconds = latency_seconds
        self._embedding_seconds = embedding_seconds
        self.plan: FaultPlan | None = None
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._numbers = itertools.count(1)
        self._times: Counter[str] = Counter()
        self._lock = threading.Lock()

    def change(self, plan: FaultPlan | None) -> float:
        """The time from which the plan holds."""
        with self._lock:
            self.plan = plan
            self._times.clear()
            return time.time()

    def ask(self, path: str, body: JSON, worker: str) -> _Asked:
        digest, kind = digest_of(path, body), kind_of(path, body)
        with self._lock:
            self._times[digest] += 1
            plan, n = self.plan, self._times[digest]
            struck_by = plan if plan is not None and plan.strikes(_endpoint_of(kind), digest, n) else None
            asked = _Asked(next(self._numbers), path, body, digest, kind, n, struck_by)
            fault = None if struck_by is None else struck_by.kind
            self.write("begun", asked.call, digest=digest, kind=kind, worker=worker, fault=fault)
        return asked

    def hangs(self, asked: _Asked) -> bool:
        """Whether nothing is answered now, whatever was so when the question came in."""
        plan = self.plan
        if plan is None or plan.kind is not FaultKind.HANG:
            return asked.struck_by is not None and asked.struck_by.kind is FaultKind.HANG
        return plan.strikes(_endpoint_of(asked.kind), asked.digest, asked.time_asked)

    def seconds_for(self, digest: str, kind: str) -> float:
        """How long an answer takes: half to one and a half of the latency, so that callers get out of step.

        Exactly the latency where embeddings have their own.
        """
        if self._embedding_seconds is not None:
            return self._embedding_seconds if kind == EMBEDDINGS else self._latency_seconds
        return self._latency_seconds * (0.5 + int(digest[:8], 16) / 2**32)

    def write(self, event: str, call: int, **details: object) -> None:
        entry = {"event": event, "call": call, "at": time.time(), **details}
        # One write of a line is whole for whoever reads the file meanwhile.
        os.write(self._log, json.dumps(entry).encode() + b"\n")


def _endpoint_of(kind: str) -> str:
    return EMBEDDINGS if kind == EMBEDDINGS else CHAT


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def __init__(self, scene: _Scene, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler, bind_and_activate=False)
        self.scene = scene
        self._connections: set[socket.socket] = set()
        self.server_bind()

    def listen(self) -> None:
        self.server_activate()
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def cut_off(self) -> None:
        """Stop listening and cut every connection."""
        self.shutdown()
        self.server_close()
        for connection in list(self._connections):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._connections.discard(request)
        super().shutdown_request(request)


class _Door:
    """The port of one endpoint, open or not: a closed one stays bound, so that nobody else gets it meanwhile."""

    def __init__(self, scene: _Scene) -> None:
        self._scene = scene
        self._server = _Server(scene)
        self._server.listen()
        self._is_open = True

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    def set_open(self, is_open: bool) -> None:
        if is_open and not self._is_open:
            self._server.listen()
        elif self._is_open and not is_open:
            port = self.port
            self._server.cut_off()
            self._server = _Server(self._scene, port)
        self._is_open = is_open


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    _answered: int | None = None

    def handle(self) -> None:
        try:
            super().handle()
        except (ConnectionError, ValueError):  # ValueError: the file of a connection that was cut
            if self._answered is not None:
                self._scene.write("lost", self._answered)

    def do_POST(self) -> None:
        scene = self._scene
        body: JSON = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        # This connection's earlier answers have been read, or the client would not ask again.
        self._answered = None
        asked = scene.ask(self.path, body, self.headers.get(WORKER_HEADER, ""))
        reply, details = self._reply(asked)
        # Once the client has it, it may ask again before we come to the next line.
        answered_at = time.time()
        delivered = self._is_heard_after(0.0) and self._send(reply)
        details |= {"at": answered_at, "status": reply.status, "delivered": delivered}
        scene.write("answered", asked.call, **details)
        self._answered = asked.call if delivered else None

    def _reply(self, asked: _Asked) -> tuple[Reply, dict[str, object]]:
        """What to say, once it is time to, and what to note about it."""
        plan = asked.struck_by
        if plan is not None and plan.kind is FaultKind.THROTTLED:
            throttling = Throttling.of(plan, asked.digest, asked.time_asked)
            return throttling.reply, {"until": throttling.until}
        if plan is not None and plan.kind in {FaultKind.INTERNAL_ERROR, FaultKind.UNAVAILABLE}:
            self._is_heard_after(_ERROR_SECONDS)
            return error_reply(int(plan.kind), "this is a drill"), {}
        self._is_heard_after(self._scene.seconds_for(asked.digest, asked.kind))
        if self._scene.hangs(asked):
            self._is_heard_after(_HELD_SECONDS)
            return Reply(b"", 0), {}
        right = understanding_model(asked.path, asked.body)
        if plan is None or plan.kind is not FaultKind.NONSENSE:
            return right, {}
        kinds = kinds_of_nonsense(asked.kind)
        name = kinds[int(len(kinds) * plan.chance(asked.digest, asked.time_asked, "nonsense"))]
        return nonsense_of_kind(name, asked.kind, right), {"nonsense": name}

    def _send(self, reply: Reply) -> bool:
        data = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
        headers = {"Content-Type": "application/json", **reply.headers, "Content-Length": str(len(data))}
        try:
            self.send_response(reply.status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)
        except (OSError, ValueError):
            self.close_connection = True
            return False
        return True

    def _is_heard_after(self, seconds: float) -> bool:
        """Whether the client has its end open for so long; one that was killed, or has given up, has not."""
        try:
            readable, _, _ = select.select([self.connection], [], [], seconds)
            heard = not readable or self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) != b""
        except BlockingIOError:
            heard = True
        except (OSError, ValueError):
            heard = False
        self.close_connection = self.close_connection or not heard
        return heard

    @property
    def _scene(self) -> _Scene:
        assert isinstance(self.server, _Server)
        return self.server.scene

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class names it
        return


def _follow(scene: _Scene, doors: dict[str, _Door], plan: FaultPlan | None) -> float:
    refusing = plan.endpoints if plan is not None and plan.kind is FaultKind.REFUSED else ()
    for endpoint, door in doors.items():
        door.set_open(endpoint not in refusing)
    return scene.change(plan)


def main() -> None:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--latency", type=float, required=True)
    parser.add_argument("--embedding-latency", type=float)
    parser.add_argument("--log", type=Path, required=True)
    arguments = parser.parse_args()
    scene = _Scene(arguments.log, arguments.latency, arguments.embedding_latency)
    doors = {endpoint: _Door(scene) for endpoint in ENDPOINTS}
    print(json.dumps({endpoint: door.port for endpoint, door in doors.items()}), flush=True)
    for line in sys.stdin:
        print(_follow(scene, doors, PLAN_OR_NONE.validate_json(line)), flush=True)


if __name__ == "__main__":
    main()
