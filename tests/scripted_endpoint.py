"""A scripted OpenAI-compatible endpoint: a test says what it answers, and reads what it was asked."""

import json
import sys
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

JSON = dict[str, Any]


@dataclass(slots=True)
class Reply:
    """An HTTP reply: a JSON body, or raw bytes."""

    body: JSON | bytes
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict[str, str])


def chat_reply(content: str | None, *, finish_reason: str = "stop", tokens: tuple[int, int] = (10, 5)) -> Reply:
    """A chat completion that says `content`; `tokens` are those of prompt and completion."""
    return Reply(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 0,
            "model": "scripted",
            "choices": [
                {
                    "index": 0,
                    "message": {"role": "assistant", "content": content},
                    "finish_reason": finish_reason,
                    "logprobs": None,
                }
            ],
            "usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)},
        }
    )


def embeddings_reply(vectors: list[list[float]]) -> Reply:
    """An embedding response, its rows in the wrong order on purpose: the index counts, not the place."""
    rows = [{"object": "embedding", "index": n, "embedding": vector} for n, vector in enumerate(vectors)]
    usage = {"prompt_tokens": 7, "total_tokens": 7}
    return Reply({"object": "list", "data": rows[::-1], "model": "scripted", "usage": usage})


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):  # clients are killed in some tests
            super().handle_error(request, client_address)  # pyright: ignore[reportArgumentType]


class ScriptedEndpoint:
    """Answers each request with what `answer(path, body)` returns; `requests` are the bodies it has seen."""

    def __init__(self, answer: Callable[[str, JSON], Reply]) -> None:
        self.answer = answer
        self.requests: list[JSON] = []
        self._lock = threading.Lock()
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                self._reply({})

            def do_POST(self) -> None:
                self._reply(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def _reply(self, body: JSON) -> None:
                with endpoint._lock:
                    endpoint.requests.append(body)
                reply = endpoint.answer(self.path, body)
                data = reply.body if isinstance(reply.body, bytes) else json.dumps(reply.body).encode()
                self.send_response(reply.status)
                for name, value in {**reply.headers, "Content-Length": str(len(data))}.items():
                    self.send_header(name, value)
                # Who asked may be gone by now: cancelled, or killed.
                with suppress(BrokenPipeError, ConnectionResetError):
                    self.end_headers()
                    self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class names it
                return

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True

    @property
    def base_url(self) -> str:
        """What to give a client."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @contextmanager
    def serving(self) -> Generator["ScriptedEndpoint"]:
        """Serves for as long as the block runs."""
        thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._server.shutdown()
            self._server.server_close()
            thread.join()


@contextmanager
def scripted(answer: Callable[[str, JSON], Reply]) -> Generator[ScriptedEndpoint]:
    """An endpoint that answers as `answer` says."""
    with ScriptedEndpoint(answer).serving() as endpoint:
        yield endpoint
