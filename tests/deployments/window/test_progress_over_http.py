"""Progress as server-sent events, read over a real connection."""

import json
import socket
import time
from collections.abc import Callable

from knowledge.domain import ExecutionStatistics, ExecutionStatus
from tests.deployments.window.conftest import Visitor
from tests.served_window import followed, told


def _complete(visitor: Visitor, execution_id: str) -> None:
    visitor.ledger.close_execution(execution_id, ExecutionStatus.COMPLETED, None, ExecutionStatistics())  # type: ignore[arg-type]


def test_events_come_as_they_happen_until_the_end(visitor: Visitor) -> None:
    """A page that shows a run needs one request, and no polling."""
    execution_id = visitor.begin()
    with followed(visitor.url, visitor.token, execution_id) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        events = told(response)
        assert json.loads(next(events).data)["status"] == "running"
        visitor.advance(execution_id, 3)
        third = json.loads(next(events).data)
        assert (third["stage"], third["current"], third["total"], third["fraction"]) == ("mentions", 3, 100, 0.03)
        _complete(visitor, execution_id)
        last = next(events)
        assert (last.id, json.loads(last.data)["status"]) == (3, "completed")
        assert list(events) == []


def test_who_comes_back_goes_on_after_the_last_event_they_had(visitor: Visitor) -> None:
    """A browser does that by itself; its header counts more than the address it was given first."""
    execution_id = visitor.begin()
    visitor.advance(execution_id, 1, 2, 3)
    with followed(visitor.url, visitor.token, execution_id, last_event_id=2) as response:
        assert next(told(response)).id == 3
    _complete(visitor, execution_id)
    path = f"/executions/{execution_id}/progress"
    rest = visitor.ask("GET", f"{path}?after=3").text
    assert [line for line in rest.splitlines() if line.startswith("id:")] == ["id: 4", "id: 5"]
    assert visitor.ask("GET", f"{path}?after=5").status_code == 204


def test_a_silent_stream_says_that_it_is_there(visitor: Visitor) -> None:
    """Proxies close connections on which nothing happens."""
    execution_id = visitor.begin()
    with followed(visitor.url, visitor.token, execution_id) as response:
        lines = response.iter_lines()
        assert any(line == ": still here" for line in lines)


def test_a_revoked_token_ends_the_streams_it_has_opened(visitor: Visitor) -> None:
    """Revoking must not wait for the end of a run that takes a day."""
    execution_id = visitor.begin()
    with followed(visitor.url, visitor.token, execution_id) as response:
        lines = response.iter_lines()
        assert next(lines).startswith("retry:")
        (token,) = visitor.tokens.all()
        visitor.tokens.revoke(token.id, "me")
        assert any(line == ": this token lets nobody in any more" for line in lines)


def test_a_reader_who_does_not_read_is_dropped_and_the_run_goes_on(
    visitor: Visitor, watching: Callable[[], int]
) -> None:
    """A stuck browser must not hold anything up, nor keep its place."""
    execution_id = visitor.begin()
    host, port = visitor.url.removeprefix("http://").split(":")
    lines = (
        f"GET /executions/{execution_id}/progress HTTP/1.1",
        f"Host: {host}",
        f"Authorization: Bearer {visitor.token}",
    )
    with socket.create_connection((host, int(port))) as stuck:
        stuck.sendall("\r\n".join((*lines, "", "")).encode())
        assert stuck.recv(15) == b"HTTP/1.1 200 OK"
        deadline = time.monotonic() + 20
        while watching() and time.monotonic() < deadline:
            visitor.advance(execution_id, *[1] * 2_000)
        assert not watching()
    _complete(visitor, execution_id)


def test_only_so_many_may_watch_at_once(visitor: Visitor) -> None:
    """A window that everybody leaves open must not take all connections."""
    execution_id = visitor.begin()
    opened = [followed(visitor.url, visitor.token, execution_id) for _ in range(4)]
    events = [told(each.__enter__()) for each in opened]
    for each in events:
        next(each)
    refused = visitor.ask("GET", f"/executions/{execution_id}/progress")
    assert (refused.status_code, refused.json()["status"], refused.headers["retry-after"]) == (503, 503, "10")
    for each in opened:
        each.__exit__(None, None, None)
