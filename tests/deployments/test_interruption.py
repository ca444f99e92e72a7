"""Ctrl-C: one exit code, no traceback, and a sentence on what becomes of the runs."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

import deployments.run
from deployments.processes import ProcessIdentity
from deployments.run import stack_for
from deployments.stack import RunningStack
from deployments.state import model_fingerprint
from knowledge.settings import Settings

# The console script, as it is installed, with Ctrl-C in the import of the module that is named.
_SCRIPT = """
import sys
from importlib.metadata import entry_points

_, module = sys.argv

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == module:
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupting())
sys.argv[:] = ["knowledge", "run", "a.txt", "--ontology", "a.ttl", "--out", "/dev/null/out"]
(script,) = entry_points(group="console_scripts", name="knowledge")
script.load()()
"""


@pytest.mark.parametrize("module", ["typer", "knowledge.settings", "deployments.submission"])
def test_an_interrupt_amid_imports_is_no_traceback(module: str, tmp_path: Path) -> None:
    """They take seconds, which is when a slip in the command is noticed."""
    command = [sys.executable, "-c", _SCRIPT, module]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def _interrupted(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, *, started_here: bool, keep: bool
) -> tuple[list[str], int]:
    """What is told when Ctrl-C comes while runs are waited for, and how often the stack is stopped."""
    told: list[str] = []
    stopped: list[Settings] = []

    def start(settings: Settings, report: object) -> RunningStack:
        return RunningStack("http://127.0.0.1:9/api", "", model_fingerprint(settings), started_here)

    monkeypatch.setattr(deployments.run, "start_in_background", start)
    monkeypatch.setattr(deployments.run, "stop_stack", stopped.append)
    with pytest.raises(KeyboardInterrupt), stack_for(settings, keep, told.append):
        raise KeyboardInterrupt
    return told, len(stopped)


@pytest.mark.parametrize(("started_here", "keep"), [(False, False), (False, True), (True, True)])
def test_an_interrupt_says_that_runs_go_on_in_a_stack_that_does(
    started_here: bool, keep: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They ask models, which costs something, though nobody watches any more."""
    told, stops = _interrupted(monkeypatch, Settings(home=tmp_path), started_here=started_here, keep=keep)
    assert stops == 0
    assert told == [
        "interrupted: what was submitted goes on by itself in the stack, which keeps running (`knowledge status` shows "
        "it, `knowledge signal EXECUTION cancel` ends a run)"
    ]


def test_an_interrupt_says_what_becomes_of_runs_whose_stack_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not lost, and not ended either: the next stack takes them up."""
    told, stops = _interrupted(monkeypatch, Settings(home=tmp_path), started_here=True, keep=False)
    assert stops == 1
    assert told == [
        "interrupted: what was submitted goes on by itself as soon as a stack runs here again (`knowledge up`)",
        "stopping the stack that was started for this run",
    ]


def test_an_interrupt_amid_the_start_leaves_no_stack_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who interrupts a command does not expect a server and a database to come up after it."""
    started: list[ProcessIdentity] = []
    popen = subprocess.Popen

    def start(command: list[str], **options: object) -> "subprocess.Popen[bytes]":
        waiting = popen([sys.executable, "-c", "import signal; signal.pause()"])
        identity = ProcessIdentity.of(waiting.pid)
        assert identity is not None
        started.append(identity)
        return waiting

    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("deployments.stack.subprocess.Popen", start)
    monkeypatch.setattr("deployments.stack.time.sleep", interrupt)
    told: list[str] = []
    try:
        with pytest.raises(KeyboardInterrupt), stack_for(Settings(home=tmp_path), False, told.append):
            raise AssertionError("no stack runs")
        assert [process.is_alive for process in started] == [False]
        assert told == [
            "interrupted before the stack ran: nothing was submitted, and what was started of it is stopped"
        ]
    finally:
        for process in started:
            process.send(signal.SIGKILL)
