"""What the endpoint's log says about how a disturbance was taken. Times are seconds since the epoch."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf

from tests.drills.calls import Call, CallLog
from tests.drills.faults import ENDPOINTS, FaultKind

# News of a pause takes a moment: to be read by the one who was refused, and to reach the others.
ALLOWED_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Outage:
    """From when until when the endpoints failed, and how."""

    kind: FaultKind
    begun_at: float
    ended_at: float

    def contains(self, at: float) -> bool:
        """Whether the time is within it."""
        return self.begun_at <= at < self.ended_at

    def calls_into(self, log: CallLog) -> dict[str, int]:
        """How many calls were begun while it lasted, by endpoint; refused ones are attempts to connect."""
        if self.kind is FaultKind.REFUSED:
            asked = Counter(tried.endpoint for tried in log.connections if self.contains(tried.at))
        else:
            asked = Counter(call.endpoint for call in log.calls if self.contains(call.begun_at))
        return {endpoint: asked[endpoint] for endpoint in ENDPOINTS}

    def successes(self, calls: Iterable[Call]) -> dict[str, Call]:
        """The first call of each endpoint that was begun after the outage had, and answered when it was over."""
        first: dict[str, Call] = {}
        for call in sorted(calls, key=lambda call: call.begun_at):
            is_after = call.begun_at >= self.begun_at and (call.answered_at or 0.0) >= self.ended_at
            if is_after and call.delivered:
                first.setdefault(call.endpoint, call)
        return first

    def seconds_to_success(self, calls: Iterable[Call]) -> dict[str, float]:
        """From the end to the beginning of the next call that succeeds, by endpoint."""
        return {
            endpoint: round(max(0.0, call.begun_at - self.ended_at), 2)
            for endpoint, call in self.successes(calls).items()
        }


def seconds_to_next_call(
    calls: Iterable[Call], after: float, unfinished: Mapping[str, frozenset[str]]
) -> dict[str, float | None]:
    """From `after` to the next call about each of the `unfinished` (names to their questions); None: never again."""
    begun = dict.fromkeys(unfinished, inf)
    for call in calls:
        if call.begun_at >= after:
            for name, questions in unfinished.items():
                if call.digest in questions:
                    begun[name] = min(begun[name], call.begun_at)
    return {name: None if at == inf else round(at - after, 2) for name, at in begun.items()}


def seconds_to_workers_next_call(calls: Iterable[Call], after: float) -> dict[str, float]:
    """From `after` to the next call of each worker that makes one."""
    begun: dict[str, float] = {}
    for call in sorted(calls, key=lambda call: call.begun_at):
        if call.begun_at >= after:
            begun.setdefault(call.worker, round(call.begun_at - after, 2))
    return begun


def peak_in_flight(calls: Iterable[Call]) -> dict[str, int]:
    """The most calls of each endpoint that were in flight at once; one that begins as another ends is not beside it."""
    changes: dict[str, list[tuple[float, int]]] = {endpoint: [] for endpoint in ENDPOINTS}
    for call in calls:
        changes[call.endpoint] += [(call.begun_at, 1), (call.answered_at or inf, -1)]
    return {endpoint: _peak(sorted(its_changes)) for endpoint, its_changes in changes.items()}


def _peak(changes: Iterable[tuple[float, int]]) -> int:
    now = peak = 0
    for _, change in changes:
        now += change
        peak = max(peak, now)
    return peak


@dataclass(frozen=True, slots=True)
class Violation:
    """A call that an endpoint had asked to wait: how long before, by how much it came too early, and who made it."""

    endpoint: str
    worker: str
    told: str
    seconds_after_asking: float
    seconds_too_early: float


def violations(calls: Sequence[Call]) -> tuple[Violation, ...]:
    """Calls begun while an earlier 429 asked all callers of the endpoint to wait, beyond `ALLOWED_SECONDS`."""
    found: list[Violation] = []
    for endpoint in ENDPOINTS:
        own = sorted((call for call in calls if call.endpoint == endpoint), key=lambda call: call.begun_at)
        refusals = [call for call in own if call.until is not None]
        for call in own:
            broken = [refusal for refusal in refusals if _is_broken(refusal, call)]
            if broken:
                found.append(_violation(max(broken, key=lambda refusal: refusal.until or 0.0), call))
    return tuple(found)


def _is_broken(refusal: Call, call: Call) -> bool:
    told_at, until = refusal.answered_at or inf, refusal.until or 0.0
    return told_at + ALLOWED_SECONDS < call.begun_at < until - ALLOWED_SECONDS


def _violation(refusal: Call, call: Call) -> Violation:
    return Violation(
        call.endpoint,
        call.worker,
        refusal.worker,
        round(call.begun_at - (refusal.answered_at or 0.0), 3),
        round((refusal.until or 0.0) - call.begun_at, 3),
    )
