"""What flow processes are forked from: everything that a run needs, and nothing that must not be shared."""

import json
import os
import subprocess
import sys

_PRELOADED = """
import gc, json, sys, psutil
import deployments.flow_preload
from knowledge.models.wire import _certificates
from tasks.durable import _ADAPTERS

process = psutil.Process()
print(json.dumps({
    "threads": process.num_threads(),
    "connections": len(process.net_connections()),
    "modules": sorted(sys.modules),
    "certificates": _certificates.cache_info().currsize,
    "readers": sorted(kind.__name__ for kind in _ADAPTERS),
    "frozen": gc.get_freeze_count() > 100_000,
}))
"""


def test_what_is_forked_has_all_imports_and_shares_neither_threads_nor_connections() -> None:
    """A thread does not live on in a forked process but its locks do, and two processes on one connection mix it up."""
    chosen = {"KNOWLEDGE_CHAT__BASE_URL": "http://127.0.0.1:9/v1", "KNOWLEDGE_CHAT__MODEL": "m"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KNOWLEDGE_", "PREFECT_"))}
    # Libraries for arrays keep threads that survive a fork; one of them is one too many for a count.
    alone = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "ignore", "-c", _PRELOADED]
    done = subprocess.run(command, env={**kept, **chosen, **alone}, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.splitlines()[-1])
    needed = {"prefect.flow_engine", "prefect.task_engine", "flows.extraction", "knowledge.models.chat_linking"}
    assert needed <= set(found["modules"])
    assert (found["threads"], found["connections"]) == (1, 0)
    assert (found["certificates"], found["readers"]) == (1, ["FoundEmbeddings", "FoundMentions"])
    assert found["frozen"]
