"""Notes every attempt to connect to the drills' endpoint, in every Python process that has this on its path.

An endpoint that refuses connections cannot count them. The interpreter imports this module by itself; it writes to
the endpoint's log, named by `DRILL_LOG`, a JSON object a line: `connecting` (endpoint, worker). `DRILL_PORTS` is a
JSON object of the endpoints' ports.
"""

import json
import os
import sys
import time


def _watch() -> None:
    ports = {int(port): endpoint for endpoint, port in json.loads(os.environ["DRILL_PORTS"]).items()}
    log = os.open(os.environ["DRILL_LOG"], os.O_WRONLY | os.O_APPEND)
    worker = os.environ.get("OPENAI_PROJECT_ID", "")

    def note(event: str, arguments: tuple[object, ...]) -> None:
        if event != "socket.connect" or not isinstance(arguments[1], tuple):
            return
        endpoint = ports.get(arguments[1][1])  # pyright: ignore[reportUnknownArgumentType]
        if endpoint is not None:
            entry = {"event": "connecting", "at": time.time(), "endpoint": endpoint, "worker": worker}
            os.write(log, json.dumps(entry).encode() + b"\n")

    sys.addaudithook(note)


if "DRILL_PORTS" in os.environ:
    _watch()
