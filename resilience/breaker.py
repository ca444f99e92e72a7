"""Counting an endpoint's failures: pybreaker, told only what says something about the endpoint, in the right order."""

from contextlib import suppress

import pybreaker


class CallOrder:
    """Calls in the order in which they began, and which of them failed.

    Failures are consecutive when they *began* one after another. Counted in the order of their ends, answers to calls
    from before an outage would mask it, and a few quick failures among many slow answers would look like one.
    """

    def __init__(self) -> None:
        self._failed: dict[int, bool] = {}
        self._last = 0

    def begin(self) -> int:
        """The number of a call that begins now."""
        self._last += 1
        self._failed[self._last] = False
        return self._last

    def answer(self, call: int) -> None:
        """The endpoint did its work: what began before this call says nothing any more."""
        self._failed = {number: failed for number, failed in self._failed.items() if number > call}

    def fail(self, call: int) -> None:
        """The endpoint failed; of interest unless a call that began later was answered."""
        if call in self._failed:
            self._failed[call] = True

    def forget(self, call: int) -> None:
        """How the call came out says nothing about the endpoint."""
        self._failed.pop(call, None)

    def clear(self) -> None:
        """Forgets all calls."""
        self._failed.clear()

    @property
    def failures(self) -> int:
        """How many calls that began one after another have failed, none between them being still under way."""
        run = 0
        for failed in reversed(self._failed.values()):
            if failed:
                run += 1
            elif run:
                break
        return run


class Breaker:
    """A circuit that opens after so many consecutive failures, and whose one probe is the caller's to choose.

    pybreaker is the state machine and the counter. By itself it would count in the order of ends, take a cancellation
    for a failure and an excluded error for a success, and let every caller probe at once: it is shown outcomes that
    say something about the endpoint, in the calls' order, and nothing else.
    """

    def __init__(self, failures: int) -> None:
        self._storage = pybreaker.CircuitMemoryStorage(pybreaker.STATE_CLOSED)
        self._circuit = pybreaker.CircuitBreaker(fail_max=failures, state_storage=self._storage)
        self._order = CallOrder()

    @property
    def state(self) -> str:
        """`closed`, `open` or `half-open`."""
        return self._circuit.current_state

    @property
    def failures(self) -> int:
        """Consecutive failures so far."""
        return self._order.failures

    def begin(self) -> int:
        """The number of a call that begins now, through a closed circuit."""
        return self._order.begin()

    def answer(self, call: int) -> None:
        """The endpoint did its work."""
        self._order.answer(call)
        self._show(failed=False)

    def fail(self, call: int) -> int:
        """The endpoint failed: how many consecutive failures that makes; 0 if a later call was answered."""
        self._order.fail(call)
        return self._order.failures

    def trips(self, failures: int) -> bool:
        """Whether so many consecutive failures, here and elsewhere, open the closed circuit. They do from then on."""
        self._storage.reset_counter()
        for _ in range(failures - 1):
            self._storage.increment_counter()
        self._show(failed=True)
        return self.state == pybreaker.STATE_OPEN

    def forget(self, call: int) -> None:
        """The call's end says nothing about the endpoint."""
        self._order.forget(call)

    def open(self) -> None:
        """Opens the circuit; calls under way count no more."""
        self._order.clear()
        if self.state != pybreaker.STATE_OPEN:
            self._circuit.open()

    def half_open(self) -> None:
        """Lets one call through an open circuit."""
        self._circuit.half_open()

    def close(self) -> None:
        """Closes the circuit; calls under way count no more."""
        self._order.clear()
        self._storage.reset_counter()
        if self.state != pybreaker.STATE_CLOSED:
            self._circuit.close()

    def _show(self, *, failed: bool) -> None:
        with suppress(pybreaker.CircuitBreakerError, _EndpointFailed), self._circuit.calling():
            if failed:
                raise _EndpointFailed


class _EndpointFailed(Exception):
    """What pybreaker is shown of a failure."""
