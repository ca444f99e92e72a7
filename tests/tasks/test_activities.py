"""The mirror notes at once, writes in batches, and loses nothing while the database is away."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from knowledge.domain import ActivityStatus, ExecutionStatistics, ExtractionProgress, Stage, Usage
from knowledge.errors import (
    ModelAnswerInvalid,
    ModelHeldBack,
    ModelReplyUnreadable,
    ModelUnavailable,
    StoreUnavailable,
)
from knowledge.ids import ExecutionId
from knowledge.progress import ProgressStep
from tables.activities import EarlierAttempts
from tables.ledger import ActivityRecord, Ledger
from tasks.activities import ActivityRecorder

EXECUTION = ExecutionId.new()


@dataclass
class FakeLedger:
    """Keeps what it is told; answers as long as it is `up`."""

    earlier: dict[tuple[Stage, str], int] = field(default_factory=dict[tuple[Stage, str], int])
    rows: dict[tuple[Stage, str, int], ActivityRecord] = field(
        default_factory=dict[tuple[Stage, str, int], ActivityRecord]
    )
    progress: dict[Stage, ExtractionProgress] = field(default_factory=dict[Stage, ExtractionProgress])
    steps: list[ProgressStep] = field(default_factory=list[ProgressStep])
    answers: dict[str, bytes] = field(default_factory=dict[str, bytes])
    spent: int = 0
    interrupted: int = 0
    up: bool = True
    batches: int = 0

    def take_over(self, execution_id: ExecutionId) -> tuple[EarlierAttempts, tuple[ExtractionProgress, ...]]:
        self.interrupted += 1
        given_up = {r.cache_key: r.error or "" for r in self.rows.values() if r.given_up and r.cache_key}
        spent = ExecutionStatistics(model_calls=self.spent)
        return EarlierAttempts(dict(self.earlier), {}, given_up, spent), tuple(self.progress.values())

    def record_activities(
        self,
        batch: Sequence[ActivityRecord],
        steps: Sequence[ProgressStep] = (),
        answers: Mapping[str, bytes] | None = None,
    ) -> None:
        if not self.up:
            raise StoreUnavailable("away")
        self.batches += 1
        self.rows.update({(r.stage, r.item, r.attempt): r for r in batch})
        self.progress.update({step.progress.stage: step.progress for step in steps})
        self.steps += steps
        self.answers |= answers or {}


async def _unfenced() -> None:
    """Nobody else writes."""


def _recorder(ledger: FakeLedger, fence: Callable[[], Awaitable[object]] = _unfenced) -> ActivityRecorder:
    as_ledger: Callable[[FakeLedger], Ledger] = lambda fake: fake  # type: ignore[assignment,return-value]  # noqa: E731
    return ActivityRecorder(as_ledger(ledger), EXECUTION, fence=fence)


async def test_attempts_are_written_once_they_end_with_what_they_cost() -> None:
    """One row an attempt, whatever happened in between."""
    ledger = FakeLedger()
    async with _recorder(ledger) as recorder:
        with recorder.attempt(Stage.MENTIONS, "00000", "key") as attempt:
            attempt.usage = Usage(model_calls=1)
    (row,) = ledger.rows.values()
    assert (row.status, row.attempt, row.usage, row.cache_key) == (
        ActivityStatus.COMPLETED,
        1,
        Usage(model_calls=1),
        "key",
    )
    assert row.ended_at is not None


async def test_numbers_continue_after_those_of_a_dead_process() -> None:
    """Its attempts are closed as interrupted first, never replaced."""
    ledger = FakeLedger(earlier={(Stage.MENTIONS, "00000"): 4})
    async with _recorder(ledger) as recorder:
        with recorder.attempt(Stage.MENTIONS, "00000", None):
            assert ledger.interrupted == 1
    assert [number for _, _, number in ledger.rows] == [5]


async def test_a_failed_attempt_says_why() -> None:
    """The error of each attempt is kept, not only the last one's."""
    ledger = FakeLedger()
    async with _recorder(ledger) as recorder:
        for n in range(2):
            with pytest.raises(ModelUnavailable), recorder.attempt(Stage.MENTIONS, "00000", None):
                raise ModelUnavailable("chat", f"down {n}")
    assert [(r.status, r.error) for r in ledger.rows.values()] == [
        (ActivityStatus.FAILED, "chat: down 0"),
        (ActivityStatus.FAILED, "chat: down 1"),
    ]


async def test_an_attempt_that_only_waited_in_vain_has_not_failed() -> None:
    """The run is set aside, and goes on from here with all of its attempts."""
    ledger = FakeLedger()
    async with _recorder(ledger) as recorder:
        with pytest.raises(ModelHeldBack), recorder.attempt(Stage.MENTIONS, "00000", "key"):
            raise ModelHeldBack("chat", "has been down", probe_in_seconds=3.0)
        assert recorder.failed_attempts(Stage.MENTIONS, "00000") == 0
    assert [row.status for row in ledger.rows.values()] == [ActivityStatus.INTERRUPTED]


async def test_an_item_given_up_is_known_to_the_next_process_with_what_it_cost() -> None:
    """Two answers were paid for; another process of the execution must not pay for them again."""
    ledger, cost = FakeLedger(), Usage(model_calls=2, input_tokens=20)
    async with _recorder(ledger) as recorder:
        with pytest.raises(ModelAnswerInvalid), recorder.attempt(Stage.MENTIONS, "00000", "key"):
            raise ModelAnswerInvalid("chat", "nonsense", usage=cost)
    async with _recorder(ledger) as successor:
        assert successor.why_given_up("key") == "chat: nonsense"
        assert successor.why_given_up("another") is None
    assert [row.usage for row in ledger.rows.values()] == [cost]


async def test_an_item_that_may_still_succeed_is_not_given_up() -> None:
    """A proxy's page instead of an answer is worth another try, also by another process."""
    ledger = FakeLedger()
    async with _recorder(ledger) as recorder:
        with pytest.raises(ModelReplyUnreadable), recorder.attempt(Stage.MENTIONS, "00000", "key"):
            raise ModelReplyUnreadable("chat", "a page")
        assert recorder.why_given_up("key") is None


async def test_an_answer_is_stored_together_with_its_attempt() -> None:
    """A successor that finds the answer, and no attempt, would not know that this execution has paid for it."""
    ledger = FakeLedger()
    async with _recorder(ledger) as recorder:
        with recorder.attempt(Stage.MENTIONS, "00000", "key") as attempt:
            assert await recorder.keep(attempt, Usage(model_calls=1), b"answer")
            attempt.usage = Usage(model_calls=1)
            assert ledger.answers == {"key": b"answer"}
            assert [(row.status, row.usage.model_calls) for row in ledger.rows.values()] == [
                (ActivityStatus.COMPLETED, 1)
            ]
        recorder.observe(ExtractionProgress(Stage.MENTIONS, 1, 1))
        await recorder.flush()
    assert ledger.batches == 2
    assert [step.model_calls for step in ledger.steps] == [1]


async def test_an_answer_that_cannot_be_stored_with_its_attempt_leaves_it_running() -> None:
    """A process that dies before the answer is stored otherwise has not completed the attempt."""
    ledger = FakeLedger()
    async with _recorder(ledger) as recorder:
        with recorder.attempt(Stage.MENTIONS, "00000", "key") as attempt:
            ledger.up = False
            assert not await recorder.keep(attempt, Usage(model_calls=1), b"answer")
            ledger.up = True
            await recorder.flush()
            assert [row.status for row in ledger.rows.values()] == [ActivityStatus.RUNNING]
            attempt.usage = Usage(model_calls=1)
    assert [(row.status, row.usage.model_calls) for row in ledger.rows.values()] == [(ActivityStatus.COMPLETED, 1)]
    assert ledger.answers == {}


async def test_an_answer_is_stored_although_whoever_asked_is_stopped() -> None:
    """It is paid for; the attempt was cancelled nevertheless."""
    ledger = FakeLedger()
    stored = asyncio.Event()

    async def ask(recorder: ActivityRecorder) -> None:
        with recorder.attempt(Stage.MENTIONS, "00000", "key") as attempt:
            asked.set()
            await recorder.keep(attempt, Usage(model_calls=1), b"answer")

    asked = asyncio.Event()
    async with _recorder(ledger, fence=stored.wait) as recorder:
        asking = asyncio.create_task(ask(recorder))
        await asked.wait()
        asking.cancel()
        await asyncio.wait({asking})
        assert not ledger.answers
        stored.set()
    assert ledger.answers == {"key": b"answer"}
    assert [row.status for row in ledger.rows.values()] == [ActivityStatus.CANCELLED]


async def test_answers_that_come_while_others_are_stored_share_a_transaction() -> None:
    """The more there is to do, the less each costs."""
    ledger = FakeLedger()
    may_write = asyncio.Event()

    async def ask(recorder: ActivityRecorder, key: str) -> bool:
        with recorder.attempt(Stage.MENTIONS, key, key) as attempt:
            return await recorder.keep(attempt, Usage(model_calls=1), b"answer")

    async with _recorder(ledger, fence=may_write.wait) as recorder:
        asking = [asyncio.create_task(ask(recorder, str(n))) for n in range(5)]
        await asyncio.sleep(0)
        may_write.set()
        assert all(await asyncio.gather(*asking))
        assert (len(ledger.answers), ledger.batches) == (5, 1)


async def test_an_answer_from_the_storage_is_a_hit() -> None:
    """Cached is not completed: nobody was asked."""
    ledger = FakeLedger()
    async with _recorder(ledger) as recorder:
        with recorder.attempt(Stage.MENTIONS, "00000", "key") as attempt:
            attempt.cached = True
    (row,) = ledger.rows.values()
    assert (row.status, row.cache_hit) == (ActivityStatus.CACHED, True)


async def test_what_could_not_be_written_is_written_later() -> None:
    """A database that is away for a while makes the mirror late, not wrong."""
    ledger = FakeLedger(up=False)
    async with _recorder(ledger) as recorder:
        with recorder.attempt(Stage.MENTIONS, "00000", None):
            recorder.observe(ExtractionProgress(Stage.MENTIONS, 1, 2))
            with pytest.raises(StoreUnavailable):
                await recorder.flush()
        recorder.observe(ExtractionProgress(Stage.MENTIONS, 2, 2))
        ledger.up = True
    assert [row.status for row in ledger.rows.values()] == [ActivityStatus.COMPLETED]
    assert ledger.progress[Stage.MENTIONS].completed == 2
    assert ledger.batches == 1
