"""The supervisor: starts the parts in order, keeps them alive, and stops them in the other order."""

import os
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from deployments.plan import Part, StackPlan
from deployments.processes import ProcessIdentity, end_all, stack_processes
from deployments.state import STOPPING, PartState, StackState, read_state, write_state
from deployments.wakeups import Wakeups
from knowledge.errors import ConfigurationError

_READY_SECONDS = 180.0
_STARTS_BEFORE_READY = 3
_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 30.0
# A part that has lived this long has recovered: its next failure counts as its first again.
_SETTLED_SECONDS = 60.0
_CHECK_SECONDS = 1.0
_FLOW_GRACE_SECONDS = 5.0


@dataclass(slots=True)
class _Kept:
    """A part that is kept alive; `due` (monotonic seconds) is when a dead one is started again."""

    part: Part
    process: ProcessIdentity
    failures: int = 0
    due: float | None = None
    started: float = field(default_factory=time.monotonic)


class Supervisor:
    """Runs one stack. `report` is told in short sentences what happens."""

    def __init__(self, plan: StackPlan, report: Callable[[str], None]) -> None:
        self._plan = plan
        self._report = report
        self._previous = read_state(plan.home.state_file)
        self._kept: list[_Kept] = []
        self._ready: tuple[int, int] | None = None
        self._state = StackState(
            supervisor=ProcessIdentity.of(os.getpid()),
            api_url=plan.api_url,
            is_local_server=plan.is_local_server,
            database_url=plan.urls.knowledge,
            model_fingerprint=plan.model_fingerprint,
        )

    def run(self, on_ready: Callable[[StackState], None]) -> None:
        """Start all parts, tell `on_ready`, keep them alive until a signal says stop, and stop them.

        Raises:
            KnowledgeError: a part does not start; what was started is stopped again.
        """
        with Wakeups() as wakeups:
            try:
                if self._start(wakeups):
                    self._write(ready=True, phase="")
                    on_ready(self._state)
                    while not wakeups.stop_requested:
                        wakeups.wait(self._keep_alive())
            finally:
                self._stop()

    def _start(self, wakeups: Wakeups) -> bool:
        """Whether all parts do their work; not if we were told to stop meanwhile."""
        for part in self._plan.parts:
            if part.runs_flows:
                # In the time that Prefect's server takes to start anyway.
                self._phase("migrating the database")
                self._plan.prepare_database()
            self._phase(f"starting {part.title}")
            if not self._start_part(part, wakeups) or wakeups.stop_requested:
                return False
        return True

    def _start_part(self, part: Part, wakeups: Wakeups) -> bool:
        """Whether the part runs; one that announces itself is waited for."""
        adopted = self._adopt(part)
        if adopted is not None or not part.announces:
            self._kept.append(_Kept(part, adopted or part.start(None)))
            return True
        with self._readiness() as (reader, writer):
            self._kept.append(_Kept(part, part.start(writer)))
            return self._wait_until_ready(wakeups, reader)

    @contextmanager
    def _readiness(self) -> Generator[tuple[int, int]]:
        self._ready = os.pipe()
        try:
            yield self._ready
        finally:
            os.close(self._ready[0])
            os.close(self._ready[1])
            self._ready = None

    def _adopt(self, part: Part) -> ProcessIdentity | None:
        """The part as an earlier supervisor left it; ended instead if it is out of date."""
        process, left = self._previous.process(part.name), self._previous.parts.get(part.name)
        if process is None or left is None:
            return None
        if self._previous.ready and left.spec_digest == part.digest:
            return process
        part.stop(process)
        return None

    def _wait_until_ready(self, wakeups: Wakeups, reader: int) -> bool:
        deadline = time.monotonic() + _READY_SECONDS
        self._write()
        while not wakeups.stop_requested:
            if wakeups.wait(min(self._keep_alive(), 0.5), [reader]):
                return True
            failing = next((kept for kept in self._kept if kept.failures >= _STARTS_BEFORE_READY), None)
            if failing is not None or time.monotonic() > deadline:
                raise self._failure((failing or self._kept[-1]).part)
        return False

    def _failure(self, part: Part) -> ConfigurationError:
        log, tail = self._plan.home.log_file(part.name), self._plan.home.log_tail(part.name)
        return ConfigurationError(f"{part.title} does not start: see why at the end of {log}:\n{tail}")

    def _keep_alive(self) -> float:
        """Start again what has died and is due; returns the seconds after which to look again."""
        _reap()
        now = time.monotonic()
        for kept in self._kept:
            if kept.due is None and not kept.process.is_alive:
                self._schedule(kept, now)
            if kept.due is not None and kept.due <= now:
                self._restart(kept)
        return min([_CHECK_SECONDS, *(max(0.0, kept.due - now) for kept in self._kept if kept.due is not None)])

    def _schedule(self, kept: _Kept, now: float) -> None:
        if now - kept.started > _SETTLED_SECONDS:
            kept.failures = 0
        delay = min(_LONGEST_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2**kept.failures)
        kept.failures += 1
        kept.due = now + delay
        self._report(f"{kept.part.title} died (pid {kept.process.pid}); it is started again in {delay:g} s")

    def _restart(self, kept: _Kept) -> None:
        try:
            writer = self._ready[1] if self._ready is not None and kept.part.announces else None
            kept.process = kept.part.start(writer)
        except (ConfigurationError, OSError) as error:
            self._report(f"{kept.part.title} could not be started: {error}")
        kept.started, kept.due = time.monotonic(), None
        self._write()

    def _phase(self, phase: str) -> None:
        self._report(phase)
        self._write(phase=phase)

    def _write(self, **changes: object) -> None:
        parts = {kept.part.name: PartState(kept.process, kept.part.digest) for kept in self._kept}
        # What an earlier supervisor left stays on record until it is adopted or ended.
        left = {name: state for name, state in self._previous.parts.items() if name not in parts}
        self._state = replace(self._state, parts={**left, **parts}, **changes)  # pyright: ignore[reportArgumentType]
        write_state(self._plan.home.state_file, self._state)

    def _stop(self) -> None:
        self._report(STOPPING)
        self._write(ready=False, phase=STOPPING)
        for kept in reversed(self._kept):
            kept.part.stop(kept.process)
            _reap()
            if kept.part.runs_flows:
                self._end_flow_processes()
        self._kept.clear()
        self._previous = StackState()
        self._write(supervisor=None, phase="")

    def _end_flow_processes(self) -> None:
        staying = [kept.process.pid for kept in self._kept]
        end_all(stack_processes(str(self._plan.home.root), except_pids=staying), _FLOW_GRACE_SECONDS)


def _reap() -> None:
    """Let ended children go; what they were is known by their identities."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0] != 0:
            pass
    except ChildProcessError:
        return
