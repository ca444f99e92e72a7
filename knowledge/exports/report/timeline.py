"""What happened in a run, read from its attempts and signals: stages, retries, waits, outages, deaths and resumes."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby, pairwise
from statistics import median

from knowledge.domain import ActivityStatus, ExecutionStatus, Stage
from knowledge.exports.report.report import Attempt, ReportedRun
from knowledge.pipeline import MODEL_STAGES
from knowledge.signals import Signal, SignalName

_SHORTEST_WAIT = timedelta(seconds=5)
# A wait is so many times longer than the attempts usually take.
_UNUSUAL = 5
# Failures of one stage with one message this close together are one event.
_CLUSTER = timedelta(seconds=30)
_ANSWERED = frozenset({ActivityStatus.COMPLETED, ActivityStatus.CACHED})


class EventKind(StrEnum):
    """What kind of thing happened."""

    FAILURE = "failure"
    OUTAGE = "outage"
    WAIT = "wait"
    HELD = "held"
    RESUME = "resume"
    SIGNAL = "signal"
    END = "end"


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """Something that happened at `at`, or from then `until`."""

    kind: EventKind
    at: datetime
    text: str
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class StageSummary:
    """A stage from its first attempt to its last; `counts` are attempts by status.

    `cells` divide the run's time into equal parts: each has the status that says most about its attempts, if any.
    """

    stage: Stage
    started_at: datetime
    ended_at: datetime
    items: int
    counts: dict[ActivityStatus, int]
    cells: tuple[ActivityStatus | None, ...]


@dataclass(frozen=True, slots=True)
class Timeline:
    """A run's stages, in their order, and its events, in theirs."""

    started_at: datetime | None
    ended_at: datetime | None
    stages: tuple[StageSummary, ...]
    events: tuple[TimelineEvent, ...]


def timeline_of(run: ReportedRun, as_of: datetime, *, cells: int = 120) -> Timeline:
    """The run's timeline; what is still going on ends at `as_of`."""
    attempts = sorted(run.attempts, key=lambda attempt: (attempt.started_at, attempt.stage, attempt.item))
    moments = [moment for a in attempts for moment in (a.started_at, a.ended_at) if moment]
    started = min([*moments, *filter(None, [run.state.started_at])], default=None)
    ended = run.state.ended_at or (as_of if started else None)
    if started is None or ended is None:
        return Timeline(started, ended, (), tuple(_end_of(run)))
    by_stage: defaultdict[Stage, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        by_stage[attempt.stage].append(attempt)
    stages = tuple(_summary(stage, by_stage[stage], (started, ended), cells) for stage in Stage if by_stage[stage])
    events = [
        *_failures(attempts),
        *_interruptions(attempts, run),
        *_waits(attempts, run.signals),
        *map(_signal, run.signals),
        *_end_of(run),
    ]
    return Timeline(started, ended, stages, tuple(sorted(events, key=lambda event: (event.at, event.kind))))


def _summary(stage: Stage, attempts: Sequence[Attempt], whole: tuple[datetime, datetime], cells: int) -> StageSummary:
    started, ended = whole
    return StageSummary(
        stage,
        min(attempt.started_at for attempt in attempts),
        max(attempt.ended_at or ended for attempt in attempts),
        len({attempt.item for attempt in attempts}),
        dict(Counter(attempt.status for attempt in attempts)),
        _cells(attempts, started, max((ended - started) / cells, timedelta(microseconds=1)), cells),
    )


def _cells(
    attempts: Iterable[Attempt], started: datetime, width: timedelta, cells: int
) -> tuple[ActivityStatus | None, ...]:
    """What was going on in each part of the time, the most telling status first: a failure hides a success."""
    telling = list(reversed((*_ANSWERED_FIRST, *(s for s in ActivityStatus if s not in _ANSWERED_FIRST))))
    found: list[ActivityStatus | None] = [None] * cells
    for attempt in attempts:
        ended = attempt.ended_at or started + cells * width
        first = min(cells - 1, int((attempt.started_at - started) / width))
        last = min(cells - 1, int((ended - started) / width))
        for n in range(first, last + 1):
            known = found[n]
            if known is None or telling.index(attempt.status) < telling.index(known):
                found[n] = attempt.status
    return tuple(found)


_ANSWERED_FIRST = (ActivityStatus.CACHED, ActivityStatus.COMPLETED, ActivityStatus.RUNNING)


def _failures(attempts: Sequence[Attempt]) -> Iterator[TimelineEvent]:
    """Failures of one stage with one message, one soon after the other, as one event each."""
    failed = [attempt for attempt in attempts if attempt.status is ActivityStatus.FAILED]
    last = {(attempt.stage, attempt.item): attempt.number for attempt in sorted(attempts, key=lambda a: a.number)}
    for (stage, error), group in groupby(
        sorted(failed, key=lambda a: (a.stage, a.error or "", a.started_at)), key=lambda a: (a.stage, a.error or "")
    ):
        for cluster in _clusters(list(group)):
            final = {a.item for a in cluster if a.given_up or a.number == last[stage, a.item]}
            retried = len(cluster) - len(final)
            outcome = ", ".join(
                part
                for part in (
                    f"{retried} tried again" if retried else "",
                    f"{len(final)} given up" if final else "",
                )
                if part
            )
            what = "an attempt" if len(cluster) == 1 else f"{len(cluster)} attempts"
            until = max(_end(attempt) for attempt in cluster)
            yield TimelineEvent(
                EventKind.FAILURE, _end(cluster[0]), f"{stage}: {what} failed ({outcome}): {error}", until
            )


def _clusters(attempts: list[Attempt]) -> Iterator[list[Attempt]]:
    cluster: list[Attempt] = []
    for attempt in attempts:
        if cluster and attempt.started_at - _end(cluster[-1]) > _CLUSTER:
            yield cluster
            cluster = []
        cluster.append(attempt)
    if cluster:
        yield cluster


def _interruptions(attempts: Sequence[Attempt], run: ReportedRun) -> Iterator[TimelineEvent]:
    """Attempts that were broken off: with an error the run was set aside, without one its process had died.

    What a dead process left running is closed by its successor, so such attempts end when the run goes on.
    """
    broken = [a for a in attempts if a.status is ActivityStatus.INTERRUPTED and a.ended_at]
    resumes = 0
    for (ended, error), group in groupby(
        sorted(broken, key=lambda a: (_end(a).replace(microsecond=0), a.error or "")),
        key=lambda a: (_end(a).replace(microsecond=0), a.error or ""),
    ):
        count = len(list(group))
        calls = "an attempt was" if count == 1 else f"{count} attempts were"
        if error:
            yield TimelineEvent(EventKind.HELD, ended, f"set aside: {error}", _next_start(attempts, ended))
            continue
        resumes += 1
        alive = max((m for a in attempts for m in (a.started_at, a.ended_at) if m and m < ended), default=ended)
        yield TimelineEvent(EventKind.RESUME, alive, f"its process died, {calls} broken off; another went on", ended)
    unseen = run.state.resumes - resumes
    if unseen > 0 and run.state.started_at is not None:
        text = f"taken up by another process {unseen} more {'time' if unseen == 1 else 'times'} between attempts"
        yield TimelineEvent(EventKind.RESUME, run.state.started_at, text, run.state.ended_at)


def _waits(attempts: Sequence[Attempt], signals: Sequence[Signal]) -> Iterator[TimelineEvent]:
    """Times in which nothing was answered although attempts were under way, and why as far as that is known.

    Those in which a process died or a run was set aside have events of their own.
    """
    answered = [a for a in attempts if a.status in _ANSWERED and a.ended_at]
    if not answered:
        return
    usual = median((_end(a) - a.started_at).total_seconds() for a in answered)
    longest = max(_SHORTEST_WAIT, timedelta(seconds=_UNUSUAL * usual))
    moments = [attempts[0].started_at, *sorted(_end(a) for a in answered)]
    for before, after in pairwise(moments):
        under_way = [a for a in attempts if a.started_at < after and _end(a) > before]
        is_told = any(a.status is ActivityStatus.INTERRUPTED for a in under_way)
        if after - before > longest and not is_told:
            yield _wait(before, after, under_way, signals)


def _wait(before: datetime, after: datetime, under_way: Sequence[Attempt], signals: Sequence[Signal]) -> TimelineEvent:
    seconds = f"{(after - before).total_seconds():.0f} s"
    failed = [a for a in under_way if a.status is ActivityStatus.FAILED]
    pause = _last([s for s in signals if s.acted_at and s.name is SignalName.PAUSE and before <= s.acted_at < after])
    if pause is not None:
        return TimelineEvent(EventKind.HELD, before, f"paused by {pause.sent_by}, {seconds} without an answer", after)
    if failed:
        error = failed[-1].error or "failed"
        return TimelineEvent(EventKind.OUTAGE, before, f"{seconds} without an answer; the last failure: {error}", after)
    if any(a.stage in MODEL_STAGES for a in under_way):
        why = "waiting for a model or a limit"
    else:
        why = f"busy with {', '.join(dict.fromkeys(a.stage.value for a in under_way))}" if under_way else "idle"
    return TimelineEvent(EventKind.WAIT, before, f"{seconds} without an answer: {why}", after)


def _signal(signal: Signal) -> TimelineEvent:
    reason = f" ({signal.reason})" if signal.reason else ""
    outcome = signal.outcome or "not acted on yet"
    text = f"signal {signal.number}: {signal.name.value}{reason} by {signal.sent_by}: {outcome}"
    return TimelineEvent(EventKind.SIGNAL, signal.sent_at, text, signal.acted_at)


def _end_of(run: ReportedRun) -> Iterator[TimelineEvent]:
    state = run.state
    if state.ended_at is not None:
        why = f": {state.error}" if state.error and state.status is not ExecutionStatus.COMPLETED else ""
        yield TimelineEvent(EventKind.END, state.ended_at, f"{state.status.value}{why}")


def _next_start(attempts: Sequence[Attempt], moment: datetime) -> datetime | None:
    # Attempts are grouped by whole seconds.
    return min((a.started_at for a in attempts if a.started_at > moment + timedelta(seconds=1)), default=None)


def _end(attempt: Attempt) -> datetime:
    return attempt.ended_at or attempt.started_at


def _last(signals: Sequence[Signal]) -> Signal | None:
    return signals[-1] if signals else None
