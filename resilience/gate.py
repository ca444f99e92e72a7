"""The gate before an endpoint: closed to all callers while it is down or throttling, but for one that probes.

Whoever waits at the gate holds no permit and uses up no attempt. A hold begins when the circuit opens (consecutive
failures) or when the endpoint throttles (Retry-After). When its time is over one probe goes through, over all
processes that share a board, and its outcome opens the gate for everybody, little by little, or holds it for another
while.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace

from resilience.board import EndpointBoard, EndpointState, Failures, Hold, News, Sharers, Standing
from resilience.breaker import Breaker

# An endpoint that throttles without saying for how long.
_FIRST_PAUSE_SECONDS = 1.0
# What others have seen is news for this long; less than two in a row is an accident that nobody needs to know of.
_NEWS_SECONDS = 5.0
_WORTH_TELLING = 2
# Whoever claimed the probe that is due may have died with it: it is asked for again.
_LOOK_SECONDS = 1.0
# An endpoint that has just recovered, or asked for a pause, is not stormed: so many callers at once, and twice as many
# with each answer, as TCP does after a loss (RFC 5681, "slow start").
_FIRST_WINDOW = 1
_WIDE_WINDOW = 32


@dataclass(frozen=True, slots=True)
class GatePolicy:
    """So many consecutive `failures` open the circuit for `open_seconds`, after which one probe goes through.

    Callers wait at the gate while an endpoint has been, or will be, held for at most `patience_seconds`.
    """

    failures: int = 5
    open_seconds: float = 30.0
    patience_seconds: float = 300.0


class PatienceExhausted(Exception):
    """An endpoint is held for longer than callers wait."""

    def __init__(self, hold: Hold) -> None:
        super().__init__(hold.detail)
        self.hold = hold


@dataclass(frozen=True, slots=True)
class _Held:
    """A hold in the event loop's time."""

    state: EndpointState
    since: float
    until: float
    detail: str

    def told(self) -> Hold:
        now = _now()
        return Hold(self.state, max(0.0, self.until - now), now - self.since, self.detail)


class Turn:
    """A caller's leave to ask once. It says `begin`, and then how the call came out, unless it was cancelled."""

    def __init__(self, gate: "EndpointGate", *, is_probe: bool) -> None:
        self._gate = gate
        self.is_probe = is_probe
        self.epoch = -1
        self.call: int | None = None
        self.is_settled = False

    @property
    def is_valid(self) -> bool:
        """Whether the call may still begin: the gate may have closed since the caller went through."""
        return self.is_probe or self._gate.hold is None

    def begin(self) -> None:
        """The call begins now."""
        self._gate.note_begin(self)

    def answered(self) -> None:
        """The endpoint did its work."""
        self.is_settled = True
        self._gate.note_answer(self)

    def refused(self) -> None:
        """The endpoint is there and did not want this very question, or gave no usable reply: neither good nor bad."""
        self.is_settled = True
        self._gate.note_refusal(self)

    def failed(self, detail: str) -> None:
        """The endpoint failed: it timed out, broke the connection, or said that it cannot."""
        self.is_settled = True
        self._gate.note_failure(self, detail)

    def throttled(self, detail: str, retry_after_seconds: float | None) -> None:
        """The endpoint wants all of its callers to wait, for as long as it says, if it does."""
        self.is_settled = True
        self._gate.note_throttling(self, detail, retry_after_seconds)


class EndpointGate:
    """The gate of one endpoint for the callers of one event loop; a `board` shares it with other processes."""

    def __init__(self, policy: GatePolicy | None = None, board: EndpointBoard | None = None) -> None:
        self._policy = policy or GatePolicy()
        self._board = board
        self._breaker = Breaker(self._policy.failures)
        self._held: _Held | None = None
        self._is_probing = False
        self._refused_probes = 0
        self._version = -1
        self._elsewhere: dict[str, tuple[int, float]] = {}
        self._told = 0
        self._epoch = 0
        self._inside = 0
        self._window: int | None = None
        self._changed = asyncio.Event()
        if board is not None:
            board.subscribe(self._hear)

    @property
    def hold(self) -> Hold | None:
        """Why ordinary calls may not be made now; None while they may."""
        return None if self._held is None else self._held.told()

    @property
    def circuit(self) -> str:
        """The state of the circuit: `closed`, `open`, or `half-open` while a probe of this process is under way."""
        return self._breaker.state

    @property
    def failures(self) -> int:
        """Consecutive failures since the endpoint last answered a call of this process."""
        return self._breaker.failures

    @asynccontextmanager
    async def turn(self) -> AsyncGenerator[Turn]:
        """A turn, as soon as the gate lets this caller through; left without an outcome, it says nothing.

        Raises:
            PatienceExhausted: the endpoint is held for longer than callers wait.
        """
        turn = await self._enter()
        self._inside += 1
        try:
            yield turn
        finally:
            self._inside -= 1
            if not turn.is_settled:
                self._forget(turn)
            if self._window is not None:
                self._tell_waiting()

    async def _enter(self) -> Turn:
        while (held := self._held) is not None or self._is_full:
            if held is None:
                await self._news_within(_LOOK_SECONDS)
                continue
            left = held.until - _now()
            if left <= 0 and not self._is_probing and await self._claim_probe():
                return Turn(self, is_probe=True)
            if self._held is held:
                self._require_patience(held, left)
                await self._news_within(left if left > 0 else _LOOK_SECONDS)
        return Turn(self, is_probe=False)

    @property
    def _is_full(self) -> bool:
        return self._window is not None and self._inside >= self._window

    def _require_patience(self, held: _Held, left: float) -> None:
        waited = _now() - held.since
        if waited + max(0.0, left) > self._policy.patience_seconds and not self._is_probing:
            raise PatienceExhausted(held.told())

    async def _claim_probe(self) -> bool:
        self._is_probing = True
        claimed = False
        try:
            claimed = self._board is None or await self._board.claim_probe()
        finally:
            self._is_probing = claimed and self._held is not None
        if self._is_probing and self._breaker.state != "closed":
            self._breaker.half_open()
        return self._is_probing

    async def _news_within(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    def note_begin(self, turn: Turn) -> None:
        """For `Turn`."""
        turn.epoch = self._epoch
        turn.call = None if turn.is_probe else self._breaker.begin()

    def note_answer(self, turn: Turn) -> None:
        """For `Turn`."""
        if turn.is_probe:
            self._release()
        elif self._counts(turn) and turn.call is not None:
            self._breaker.answer(turn.call)
            self._tell_failures(0)
            if self._window is not None:
                self._window = 2 * self._window if self._window < _WIDE_WINDOW else None

    def note_refusal(self, turn: Turn) -> None:
        """For `Turn`."""
        if turn.is_probe:
            self._release()
        else:
            self._forget(turn)

    def note_failure(self, turn: Turn, detail: str) -> None:
        """For `Turn`."""
        if turn.is_probe:
            self._is_probing = False
            self._hold(EndpointState.OPEN, self._policy.open_seconds, detail)
        elif self._counts(turn) and turn.call is not None:
            failures = self._breaker.fail(turn.call)
            if failures and not self._trip(failures, detail) and failures >= _WORTH_TELLING:
                self._tell_failures(failures)

    def note_throttling(self, turn: Turn, detail: str, retry_after_seconds: float | None) -> None:
        """For `Turn`."""
        self._forget_call(turn)
        if turn.is_probe:
            self._is_probing = False
            self._refused_probes += 1
        elif self._held is not None and self._held.state is EndpointState.OPEN:
            # What an endpoint said before it went down is out of date.
            return
        said = _FIRST_PAUSE_SECONDS if retry_after_seconds is None else retry_after_seconds
        # It is taken at its word; and where its word has proved too short, for twice as long each time.
        pause = min(said * 2**self._refused_probes, max(said, self._policy.open_seconds))
        self._hold(EndpointState.THROTTLED, pause, detail)

    def _trip(self, failures: int, detail: str) -> bool:
        """Whether so many failures here, with those that others have just seen, open the circuit."""
        elsewhere = self._failures_elsewhere() if failures >= _WORTH_TELLING else 0
        if not self._breaker.trips(failures + elsewhere):
            return False
        self._hold(EndpointState.OPEN, self._policy.open_seconds, detail)
        return True

    def _failures_elsewhere(self) -> int:
        old = _now() - _NEWS_SECONDS
        return sum(count for count, seen_at in self._elsewhere.values() if seen_at > old)

    def _tell_failures(self, count: int) -> None:
        if self._board is not None and count != self._told:
            self._told = count
            self._board.post_failures(count)

    def _counts(self, turn: Turn) -> bool:
        """Whether the outcome is news: calls begun before the gate last closed or opened say nothing about now."""
        return self._held is None and turn.epoch == self._epoch

    def _forget(self, turn: Turn) -> None:
        self._forget_call(turn)
        if turn.is_probe and self._is_probing:
            self._is_probing = False
            if self._held is not None:
                if self._held.state is EndpointState.OPEN:
                    self._breaker.open()
                self._held = replace(self._held, until=_now())
                self._tell_waiting()
                if self._board is not None:
                    self._board.return_probe()

    def _forget_call(self, turn: Turn) -> None:
        if turn.call is not None:
            self._breaker.forget(turn.call)

    def _hold(self, state: EndpointState, seconds: float, detail: str) -> None:
        held, now = self._held, _now()
        until = now + seconds
        if held is not None and held.state is state:
            until = max(until, held.until)
        self._take_hold(_Held(state, held.since if held is not None else now, until, detail))
        if self._board is not None:
            self._board.post_hold(self._held.told() if self._held else Hold(state, seconds, 0.0, detail))

    def _take_hold(self, held: _Held) -> None:
        if self._held is None:
            self._epoch += 1
        self._held = held
        if held.state is EndpointState.OPEN and not self._is_probing:
            self._breaker.open()
        self._told = 0
        self._tell_waiting()

    def _release(self) -> None:
        self._take_release()
        if self._board is not None:
            self._board.post_release()

    def _take_release(self) -> None:
        self._held = None
        self._window = _FIRST_WINDOW
        self._is_probing = False
        self._refused_probes = 0
        self._elsewhere.clear()
        self._told = 0
        self._epoch += 1
        self._breaker.close()
        self._tell_waiting()

    def _tell_waiting(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _hear(self, news: News) -> None:
        match news:
            case Standing(version=version, hold=hold) if version > self._version:
                self._version = version
                self._adopt(hold)
            case Failures(process=process, count=count):
                self._elsewhere[process] = (count, _now())
                failures = self._breaker.failures
                if self._held is None and failures >= _WORTH_TELLING:
                    self._trip(failures, "failures in several processes")
            case Standing() | Sharers():
                pass

    def _adopt(self, hold: Hold | None) -> None:
        """The gate as all processes have it. A probe of ours that is under way will say more."""
        if hold is None:
            if self._held is not None and not self._is_probing:
                self._take_release()
        else:
            now = _now()
            self._take_hold(_Held(hold.state, now - hold.held_seconds, now + hold.probe_in_seconds, hold.detail))


def _now() -> float:
    return asyncio.get_running_loop().time()
