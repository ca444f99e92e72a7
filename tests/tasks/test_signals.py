"""Signals acting on a run at work, look by look: a test decides when the watcher looks."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from uuid import uuid4

import pytest

from knowledge.domain import ExecutionStatus, Stage
from knowledge.errors import ExecutionCancelled, StoreUnavailable
from knowledge.ids import ExecutionId, FlowRunId, OrganizationId
from knowledge.signals import Signal, SignalName
from knowledge.stages.calls import StageAnswer, StageCall
from knowledge.stages.stages import Stages
from tables.ledger import Ledger
from tables.session import Database
from tables.signals import Signals
from tasks.signals import SignalWatcher, gated


@dataclass
class Looks:
    """The watcher's sleep: it looks when a test tells it to."""

    _told: asyncio.Queue[None] = field(default_factory=asyncio.Queue[None])
    _slept: asyncio.Queue[None] = field(default_factory=asyncio.Queue[None])

    async def __call__(self, seconds: float) -> None:
        self._slept.put_nowait(None)
        await self._told.get()

    async def begin(self) -> None:
        """Lets the watcher look, once it is ready to."""
        await self._slept.get()
        self._told.put_nowait(None)

    async def look(self) -> None:
        """Lets the watcher look, and returns when it has."""
        await self.begin()
        await self._slept.get()
        self._slept.put_nowait(None)


@dataclass
class Bench:
    """A running execution, its signals, and a watcher's clock."""

    signals: Signals
    ledger: Ledger
    execution_id: ExecutionId
    looks: Looks = field(default_factory=Looks)

    def watch(self) -> SignalWatcher:
        """A new process's watcher."""
        self.looks = Looks()
        return SignalWatcher(self.signals, self.execution_id, self.looks)

    def send(self, name: SignalName, **payload: object) -> Signal:
        """A signal from Ada."""
        return self.signals.send(self.execution_id, name, payload, "ada")

    @property
    def status(self) -> ExecutionStatus:
        """What the row says."""
        return self.ledger.load(self.execution_id).status

    @property
    def outcomes(self) -> list[str | None]:
        """What came of each signal."""
        return [signal.outcome for signal in self.signals.history(self.execution_id)]


@pytest.fixture
def bench(database: Database, organization_id: OrganizationId) -> Bench:
    ledger = Ledger(database, organization_id)
    opened = ledger.open_execution(FlowRunId(str(uuid4())), document_name="d", parameters={}, pid=1, host="h")
    return Bench(Signals(database, organization_id), ledger, opened.id)


def call(run: Callable[[], None]) -> StageCall[None]:
    """A stage call that runs this."""

    async def work() -> None:
        run()

    return StageCall(Stage.MENTIONS, "0", "mentions 1", (), type(None), work)


def stages_of(watcher: SignalWatcher) -> Stages:
    """Stages behind the watcher's gate, without models."""
    return gated(Stages(None, None), watcher)  # type: ignore[arg-type]


async def test_no_call_begins_while_paused(bench: Bench) -> None:
    """A pause holds what has not begun, shows in the row, and ends with a resume."""
    begun: list[StageAnswer[None]] = []
    async with bench.watch() as watcher:
        bench.send(SignalName.PAUSE)
        await bench.looks.look()
        asked = asyncio.ensure_future(stages_of(watcher).runner(call(lambda: begun.append(StageAnswer(None)))))
        await bench.looks.look()
        assert not begun
        assert bench.status is ExecutionStatus.PAUSED
        bench.send(SignalName.RESUME)
        await bench.looks.look()
        await asked
    assert len(begun) == 1
    assert bench.status is ExecutionStatus.RUNNING
    assert bench.outcomes == ["paused", "resumed"]


async def test_a_paused_run_stays_paused_in_the_process_that_takes_over(bench: Bench) -> None:
    """The pause was acted on by a process that is dead now; it holds all the same."""
    bench.send(SignalName.PAUSE)
    async with bench.watch():
        pass
    bench.signals.show(bench.execution_id, ExecutionStatus.RUNNING)
    async with bench.watch() as watcher:
        waiting = asyncio.ensure_future(watcher.may_begin())
        await bench.looks.look()
        assert not waiting.done()
        assert bench.status is ExecutionStatus.PAUSED
        bench.send(SignalName.RESUME)
        await bench.looks.look()
        await waiting


async def test_a_cancel_stops_what_runs_and_says_why(bench: Bench) -> None:
    """The work is interrupted where it waits, and the reason of the signal comes out."""
    interrupted = asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            interrupted.set()

    async def watched() -> None:
        async with bench.watch(), asyncio.TaskGroup() as group:
            group.create_task(work())

    async def cancel() -> None:
        bench.send(SignalName.CANCEL, reason="wrong document")
        await bench.looks.begin()

    cancelling = asyncio.ensure_future(cancel())
    with pytest.raises(ExecutionCancelled, match="cancelled by ada: wrong document"):
        await watched()
    await cancelling
    assert interrupted.is_set()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_cancel_also_acts_in_the_process_that_takes_over(bench: Bench) -> None:
    """A run that died before it could stop does nothing more when it is taken up."""
    sent = bench.send(SignalName.CANCEL)
    assert bench.signals.act(sent.id, "seen by a process that died")
    with pytest.raises(ExecutionCancelled, match="cancelled by ada"):
        async with bench.watch():
            raise AssertionError("nothing begins")


async def test_what_finishes_is_not_cut_in_two(bench: Bench) -> None:
    """A signal that comes while the graph is published is too late, and says so."""
    async with bench.watch() as watcher:
        await watcher.let_finish()
        bench.send(SignalName.CANCEL)
    assert bench.outcomes == ["too late: the execution had ended"]


async def test_a_cancel_just_before_the_end_still_counts(bench: Bench) -> None:
    """Between two looks, the last chance to stop is taken."""

    async def watched() -> None:
        async with bench.watch() as watcher:
            bench.send(SignalName.CANCEL)
            await watcher.let_finish()
            raise AssertionError("nothing is published")

    with pytest.raises(ExecutionCancelled):
        await watched()


async def test_a_failure_of_the_work_comes_out_as_it_is(bench: Bench) -> None:
    """Watching changes no error, and leaves signals for the process that tries again."""
    bench.send(SignalName.PAUSE)

    async def watched() -> None:
        async with bench.watch():
            bench.send(SignalName.RESUME)
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        await watched()
    assert bench.outcomes == ["paused", None]


async def test_a_database_that_does_not_answer_is_asked_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """An outage delays a signal; it loses none, and stops no run."""

    def fail(execution_id: ExecutionId) -> tuple[Signal, ...]:
        raise StoreUnavailable("the database did not answer")

    async with bench.watch() as watcher:
        with monkeypatch.context() as outage:
            outage.setattr(bench.signals, "history", fail)
            await bench.looks.look()
        bench.send(SignalName.PAUSE)
        await bench.looks.look()
        waiting = asyncio.ensure_future(watcher.may_begin())
        await bench.looks.look()
        assert not waiting.done()
        waiting.cancel()


async def test_a_watcher_that_is_told_of_a_signal_looks_at_once(bench: Bench) -> None:
    """And only if the signal is for its own execution; what nobody tells it of it sees when it looks next."""
    watcher = SignalWatcher(bench.signals, bench.execution_id)
    async with watcher:
        bench.send(SignalName.PAUSE)
        watcher.hear(ExecutionId.new())
        assert not watcher.is_paused
        watcher.hear(bench.execution_id)
        async with asyncio.timeout(2.0):
            while not watcher.is_paused:
                await asyncio.sleep(0)
