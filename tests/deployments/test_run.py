"""`knowledge run` and `batch` while the stack that they wait for is stopped."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from deployments.batching import run_batch
from deployments.home import StackHome
from deployments.processes import ProcessIdentity
from deployments.run import run_documents
from deployments.state import STOPPING, StackState, model_fingerprint, read_state, write_state
from deployments.submission import RunRequest
from knowledge.batches import FailurePolicy
from knowledge.errors import ExecutionFailed
from knowledge.ids import OrganizationId
from knowledge.pipeline import ExtractionOptions
from knowledge.settings import Settings
from tasks.batch_request import BatchRequest
from tasks.ceiling import SpendCeiling

_ACME = OrganizationId("acme")
_PATIENCE_SECONDS = 20.0


def _ignore(*_: object) -> None:
    pass


def _run(settings: Settings, tmp_path: Path) -> object:
    request = RunRequest((tmp_path / "a.txt",), tmp_path / "a.ttl", _ACME, ExtractionOptions(), False, SpendCeiling())
    return run_documents(settings, request, str(tmp_path / "out"), keep=False, tell=_ignore, show=_ignore)


def _batch(settings: Settings, tmp_path: Path) -> object:
    request = BatchRequest(_ACME, ("*.txt",), "a.ttl", ExtractionOptions(), 1, FailurePolicy.CONTINUE, False)
    return run_batch(settings, request, keep=False, tell=_ignore, show=_ignore)


@pytest.mark.parametrize(("command", "module"), [(_run, "run"), (_batch, "batching")], ids=["run", "batch"])
def test_a_command_whose_stack_is_stopped_says_so_at_once(
    command: Callable[[Settings, Path], object], module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An API that is away may come back, which is worth minutes; one that was told to stop does not."""
    settings = Settings(home=tmp_path)
    state_file = StackHome.of(settings).state_file
    fingerprint = model_fingerprint(settings)
    running = StackState(ProcessIdentity.of(os.getpid()), True, api_url="http://127.0.0.1:9/api")
    write_state(state_file, replace(running, model_fingerprint=fingerprint))

    async def wait_in_vain(*_: object) -> None:
        write_state(state_file, replace(read_state(state_file), ready=False, phase=STOPPING))
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await asyncio.Event().wait()

    monkeypatch.setattr(f"deployments.{module}._run", wait_in_vain)
    with pytest.raises(ExecutionFailed, match="the stack was stopped: `knowledge up`"):
        command(settings, tmp_path)
