"""Processes are known by pid and time of creation."""

import signal
import subprocess
from dataclasses import replace

from deployments.processes import STACK_VARIABLE, ProcessIdentity, end_all, stack_processes

_IGNORES_TERM = 'trap "" TERM; echo ready; read line'


def _child(script: str, **environment: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        ["/bin/sh", "-c", script],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PATH": "/usr/bin:/bin", **environment},
    )


def _identity(child: "subprocess.Popen[str]") -> ProcessIdentity:
    identity = ProcessIdentity.of(child.pid)
    assert identity is not None
    return identity


def test_a_pid_that_another_process_has_by_now_is_not_taken_for_ours() -> None:
    """Pids are reused: a signal sent to a stale one would hit a stranger."""
    child = _child("read line")
    identity = _identity(child)
    assert identity.is_alive
    stale = replace(identity, created_at=identity.created_at - 60)
    assert not stale.is_alive
    stale.send(signal.SIGKILL)
    assert child.poll() is None
    child.communicate("")


def test_an_ended_child_that_nobody_waited_for_counts_as_dead() -> None:
    """A zombie still has its pid, and does nothing any more."""
    child = _child("read line")
    identity = _identity(child)
    child.kill()
    assert identity.wait(5)
    assert not identity.is_alive
    assert ProcessIdentity.of(child.pid) is None
    child.communicate()


def test_a_process_that_ignores_its_signal_is_killed_after_the_grace() -> None:
    """`down` must leave nothing behind, whatever a part does."""
    child = _child(_IGNORES_TERM)
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    identity = _identity(child)
    identity.stop((signal.SIGTERM,), grace_seconds=0.1)
    assert not identity.is_alive
    child.communicate()


def test_descendants_of_a_stack_are_found_by_its_mark_and_ended() -> None:
    """A killed worker's flow processes are nobody's children any more."""
    ours, other = (
        _child(f"echo ready; {command}", **{STACK_VARIABLE: home})
        for command, home in (("read line", "/stacks/one"), ("read line", "/stacks/two"))
    )
    for child in (ours, other):
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
    found = stack_processes("/stacks/one")
    assert [process.pid for process in found] == [ours.pid]
    assert stack_processes("/stacks/one", except_pids=[ours.pid]) == ()
    end_all(found, grace_seconds=5)
    assert not found[0].is_alive
    assert other.poll() is None
    for child in (ours, other):
        child.kill()
        child.communicate()
