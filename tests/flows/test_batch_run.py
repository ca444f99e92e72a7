"""Batches on a real stack: killed in the middle, started again, and with documents changed and taken away."""

import json
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.graph_export import latest_exports
from knowledge.ids import OrganizationId
from tables.oversight import ExecutionOverview, unfinished_executions
from tests.running_stack import PATIENCE_SECONDS, Ran, StackUnderTest, eventually
from tests.sample import TEXT, knowing_model
from tests.scripted_endpoint import JSON, Reply

pytestmark = pytest.mark.stack

_ORGANIZATION = OrganizationId("batched")


class GatedModel:
    """Answers when it is told to, and counts what it was asked."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.asked: Counter[str] = Counter()
        self._lock = threading.Lock()

    def __call__(self, path: str, body: JSON) -> Reply:
        if not path.endswith("/embeddings"):
            with self._lock:
                self.asked[json.dumps(body, sort_keys=True)] += 1
            self.gate.wait(PATIENCE_SECONDS)
        return knowing_model(path, body)


@pytest.fixture
def model(stack: StackUnderTest) -> Iterator[GatedModel]:
    """The stack's model, holding back its answers."""
    gated = stack.endpoint.answer = GatedModel()
    yield gated
    gated.gate.set()


@pytest.fixture
def folder(stack: StackUnderTest) -> Path:
    """Two documents and one that cannot be read."""
    folder = stack.home / "batch"
    folder.mkdir()
    (folder / "brandt.txt").write_text(TEXT)
    (folder / "page.html").write_text("<p>Ada Brandt was born in Oslo on 4 May 1901.</p>")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 nonsense")
    return folder


def _batch(stack: StackUnderTest, folder: Path, *options: str) -> Ran:
    names = ("--ontology", stack.ontology, "--organization", _ORGANIZATION)
    return stack.command("knowledge", "batch", folder, *names, "--json", *options)


def _said(ran: Ran) -> dict[str, Any]:
    assert ran.stdout, ran.stderr
    return json.loads(ran.stdout.strip().splitlines()[-1])


def _states(report: dict[str, Any]) -> dict[str, str]:
    return {Path(item["location"]).name: item["state"] for item in report["items"]}


def _holder(stack: StackUnderTest) -> ExecutionOverview | None:
    """The unfinished execution of the batch: the oldest."""
    found = (each for each in unfinished_executions(stack.database) if each.organization_id == _ORGANIZATION)
    return next(found, None)


def test_a_batch_survives_and_does_nothing_twice(stack: StackUnderTest, model: GatedModel, folder: Path) -> None:
    """Killed in the middle it goes on by itself; started again it costs nothing, and follows its sources."""
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(_batch, stack, folder)
        eventually(lambda: len(model.asked) == 2 or None)
        batch = _holder(stack)
        assert batch is not None
        assert batch.pid is not None
        os.kill(batch.pid, signal.SIGKILL)
        model.gate.set()
        ran = running.result(PATIENCE_SECONDS)
    report = _said(ran)
    assert (ran.exit_code, report["status"], report["execution_id"]) == (1, "completed", batch.id)
    assert report["resumes"] == 1
    assert _states(report) == {"brandt.txt": "completed", "page.html": "completed", "broken.pdf": "failed"}
    assert "cannot be read as PDF" in next(item["error"] for item in report["items"] if item["error"])
    assert set(model.asked.values()) == {1}
    _goes_on_with_what_its_sources_become(stack, model, folder, report)


def _goes_on_with_what_its_sources_become(
    stack: StackUnderTest, model: GatedModel, folder: Path, before: dict[str, Any]
) -> None:
    """What is unchanged costs nothing, not even a flow run; what is gone is retracted."""
    (folder / "page.html").unlink()
    (folder / "broken.pdf").unlink()
    ran = _batch(stack, folder, "--retract-missing")
    report = _said(ran)
    assert (ran.exit_code, report["batch_id"], report["passes"]) == (0, before["batch_id"], 2)
    assert (report["documents"], report["reused"], report["missing"], len(model.asked)) == (1, 1, 0, 2)
    by_name = {Path(item["location"]).name: item for item in report["items"]}
    assert (by_name["brandt.txt"]["flow_run_id"], by_name["page.html"]["retracted"]) == (None, True)
    assert [export.document.name for export in latest_exports(stack.database, _ORGANIZATION)] == ["brandt"]


def test_cancelling_a_batch_in_prefect_cancels_what_it_has_begun(stack: StackUnderTest, model: GatedModel) -> None:
    """Whoever presses the button wants the spending to stop, and not only the listing of files."""
    folder = stack.home / "cancelled"
    folder.mkdir()
    (folder / "long.txt").write_text(f"{TEXT} It was not read to its end.")
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(_batch, stack, folder)
        eventually(lambda: model.asked or None)
        batch = _holder(stack)
        assert batch is not None
        # What the UI's button does.
        url = f"{stack.running.api_url}/flow_runs/{batch.flow_run_id}/set_state"
        cancelling = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
        httpx.post(url, json=cancelling, timeout=30).raise_for_status()
        report = _said(running.result(PATIENCE_SECONDS))
    assert report["status"] == "cancelled"
    eventually(lambda: _holder(stack) is None)
    assert model.asked.total() == 1
