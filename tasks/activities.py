"""Mirrors stage attempts and progress into the workflow tables, in batches, beside the work."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from knowledge.domain import ActivityStatus, ExtractionProgress, Stage, Usage
from knowledge.errors import FenceLost, KnowledgeError, StoreUnavailable
from knowledge.ids import ActivityId, ExecutionId
from tables.ledger import ActivityRecord, Ledger
from tasks.steps import Steps

# Somebody may be watching. What comes within this time is written, and told, together, unless an answer takes it along.
_PROMPT_SECONDS = 0.5
# Answers that come together are stored together: a transaction takes as long as reading one of them.
_TOGETHER_SECONDS = 0.005
_logger = logging.getLogger(__name__)


async def _unfenced() -> object:
    """Nobody else writes."""


@dataclass(slots=True)
class Attempt:
    """What an attempt cost, and whether a stored result answered; set by the code that makes it."""

    begun: ActivityRecord
    usage: Usage = field(default_factory=Usage)
    cached: bool = False
    # Written as completed, in the transaction that has stored its answer.
    is_kept: bool = False


class ActivityRecorder:
    """Takes note of attempts and progress at once, and writes them in batches, with an answer or half a second later:
    of each stage what came last.

    Use as an async context manager; leaving it writes what is left. Attempt numbers continue those that the
    execution already has. `fence` is awaited before every write.
    """

    def __init__(
        self,
        ledger: Ledger,
        execution_id: ExecutionId,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        fence: Callable[[], Awaitable[object]] = _unfenced,
    ) -> None:
        self._ledger = ledger
        self._execution_id = execution_id
        self._now = now
        self._fence = fence
        self._attempts: dict[tuple[Stage, str], int] = {}
        self._failed: Counter[tuple[Stage, str]] = Counter()
        self._given_up: dict[str, str] = {}
        self._records: dict[ActivityId, ActivityRecord] = {}
        self._steps = Steps(execution_id, now)
        self._has_news = asyncio.Event()
        self._writes = 0
        self._answers: dict[str, bytes] = {}
        self._writing = asyncio.Lock()
        self._writer: asyncio.Task[None] | None = None

    async def __aenter__(self) -> "ActivityRecorder":
        earlier, progress = await asyncio.to_thread(self._ledger.take_over, self._execution_id)
        self._attempts = dict(earlier.highest)
        self._failed = Counter(earlier.failed)
        self._given_up = dict(earlier.given_up)
        self._steps.go_on_from(progress, earlier.spent)
        self._writer = asyncio.create_task(self._write_regularly())
        return self

    async def __aexit__(self, *exception: object) -> None:
        if self._writer is not None:
            self._writer.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._writer
        await self.flush()

    @contextlib.contextmanager
    def attempt(self, stage: Stage, item: str, cache_key: str | None) -> Generator["Attempt"]:
        """An attempt that lasts as long as the block: completed, or failed or cancelled by what it raises."""
        number = self._attempts.get((stage, item), 0) + 1
        self._attempts[(stage, item)] = number
        running = ActivityRecord(
            id=ActivityId.new(),
            execution_id=self._execution_id,
            stage=stage,
            item=item,
            attempt=number,
            status=ActivityStatus.RUNNING,
            cache_key=cache_key,
            started_at=self._now(),
            ended_at=None,
            cache_hit=False,
            error=None,
            usage=Usage(),
        )
        self._note(running)
        attempt = Attempt(running)
        try:
            yield attempt
        except Exception as error:
            self._fail(attempt, error)
            raise
        except BaseException:
            self._end(running, ActivityStatus.CANCELLED, attempt.usage)
            raise
        if attempt.is_kept:
            self._count(running, ActivityStatus.COMPLETED, attempt.usage)
        else:
            self._end(running, ActivityStatus.CACHED if attempt.cached else ActivityStatus.COMPLETED, attempt.usage)

    def _fail(self, attempt: Attempt, error: Exception) -> None:
        running = attempt.begun
        message, usage = str(error) or type(error).__name__, getattr(error, "usage", None) or attempt.usage
        if isinstance(error, KnowledgeError) and error.defers_run:
            # It has not been tried: it goes on from here.
            self._end(running, ActivityStatus.INTERRUPTED, usage, message)
            return
        self._failed[running.stage, running.item] += 1
        given_up = isinstance(error, KnowledgeError) and error.fails_item_only and not error.retryable
        if given_up and running.cache_key is not None:
            self._given_up[running.cache_key] = message
        self._end(replace(running, given_up=given_up), ActivityStatus.FAILED, usage, message)

    def _end(self, running: ActivityRecord, status: ActivityStatus, usage: Usage, error: str | None = None) -> None:
        self._count(running, status, usage)
        self._note(self._ended(running, status, usage, error))

    def _note(self, record: ActivityRecord) -> None:
        self._records[record.id] = record
        self._has_news.set()

    def _count(self, running: ActivityRecord, status: ActivityStatus, usage: Usage) -> None:
        self._steps.count(usage, is_cached=status is ActivityStatus.CACHED, is_first=running.attempt == 1)

    def _ended(
        self, running: ActivityRecord, status: ActivityStatus, usage: Usage, error: str | None = None
    ) -> ActivityRecord:
        is_cached = status is ActivityStatus.CACHED
        return replace(running, status=status, ended_at=self._now(), cache_hit=is_cached, error=error, usage=usage)

    def failed_attempts(self, stage: Stage, item: str) -> int:
        """How many attempts at this item have failed, in whichever process of the execution."""
        return self._failed[stage, item]

    def why_given_up(self, cache_key: str) -> str | None:
        """Why this execution asks for the item no more; None if it does."""
        return self._given_up.get(cache_key)

    def observe(self, progress: ExtractionProgress) -> None:
        """How far a stage is."""
        self._steps.take(progress)
        self._has_news.set()

    async def flush(self) -> None:
        """Writes what is not written yet.

        Raises:
            StoreUnavailable: the database did not answer; nothing noted is lost, a later flush writes it.
            FenceLost: the execution is not ours any more; nothing is written.
        """
        async with self._writing:
            await self._write()

    async def keep(self, attempt: Attempt, usage: Usage, answer: bytes) -> bool:
        """Whether an answer that cost `usage` is stored now under the attempt's cache key, in one transaction with the
        attempt, completed.

        A successor that found the answer, and no attempt, would take it for another execution's, and count nothing
        for it. Where the two cannot be written together the answer is still to be stored, and the attempt to be ended.
        """
        running = attempt.begun
        assert running.cache_key is not None
        ended = self._ended(running, ActivityStatus.COMPLETED, usage)
        self._note(ended)
        self._answers[running.cache_key] = answer
        try:
            # Paid for: it is stored although whoever asked is told to stop.
            await asyncio.shield(self._store(running.cache_key))
        except Exception as error:  # noqa: BLE001 -- whatever is wrong with attempts, the answer is to be stored
            _logger.warning("an answer is stored without its attempt: %s", error)
        attempt.is_kept = self._answers.pop(running.cache_key, None) is None
        if not attempt.is_kept:
            self._note(running)
        return attempt.is_kept

    async def _store(self, cache_key: str) -> None:
        """Writes what waits, unless the answer has been taken along meanwhile."""
        await asyncio.sleep(_TOGETHER_SECONDS)
        async with self._writing:
            if cache_key in self._answers:
                await self._write()

    async def _write(self) -> None:
        await self._fence()
        records, self._records = self._records, {}
        answers, steps = dict(self._answers), self._steps.hand_out()
        self._has_news.clear()
        self._writes += 1
        if not records and not steps and not answers:
            return
        try:
            await asyncio.to_thread(self._ledger.record_activities, tuple(records.values()), steps, answers)
        except Exception:
            self._records = {**records, **self._records}
            self._steps.take_back(steps)
            self._has_news.set()
            raise
        for key in answers:
            self._answers.pop(key, None)

    async def _write_regularly(self) -> None:
        while True:
            await self._has_news.wait()
            before = self._writes
            await asyncio.sleep(_PROMPT_SECONDS)
            if self._writes != before:
                # Taken along, and what has come since can wait as long.
                continue
            try:
                await asyncio.shield(self.flush())
            except (StoreUnavailable, FenceLost) as error:
                _logger.warning("workflow tables are behind: %s", error.message)
