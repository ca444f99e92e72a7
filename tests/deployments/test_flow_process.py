"""A flow process between two runs: nothing of the one before is left to be lost."""

import os
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import uuid4

import pytest

from deployments import flow_engine, flow_process, outbox
from deployments.flow_process import FLOW_RUN_VARIABLE, Order
from tasks import results


class _Line:
    """The line to the worker: one run is enough, and then there is nobody any more."""

    def __init__(self, happened: list[str]) -> None:
        self._happened = happened

    def send(self, taken: int) -> None:
        self._happened.append("waits")

    def recv(self) -> Order:
        raise EOFError


def _noting(happened: list[str], what: str) -> mock.Mock:
    def note(*_: Any, **__: Any) -> None:
        happened.append(what)

    return mock.Mock(side_effect=note)


def test_a_process_sends_its_logs_and_events_before_it_waits_for_another_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Whoever stops the stack ends a process that waits."""
    happened: list[str] = []
    line: Any = _Line(happened)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(results, "_shared", None)
    for module, quiet in ((os, "setsid"), (flow_process, "_name_process"), (flow_process, "_end")):
        monkeypatch.setattr(module, quiet, mock.Mock())
    monkeypatch.setattr(flow_engine, "run", _noting(happened, "runs"))
    monkeypatch.setattr(outbox, "flush", _noting(happened, "sends the rest"))
    monkeypatch.setattr(outbox, "send_together", mock.Mock())
    environment = {**os.environ, FLOW_RUN_VARIABLE: str(uuid4())}
    with mock.patch.dict(os.environ):
        flow_process.run_flow_runs(Order(environment, str(tmp_path)), False, line)
    assert happened == ["runs", "sends the rest", "waits"]
