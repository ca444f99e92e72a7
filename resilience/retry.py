"""When a failed attempt is tried again."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`retries` further attempts after the first; before the n-th (from 1) `first_delay_seconds · 2^(n-1)`.

    Each delay is stretched by a random share of up to `jitter`, so that callers who failed together do not
    come back together.
    """

    retries: int = 3
    first_delay_seconds: float = 1.0
    jitter: float = 0.5

    def delays_seconds(self) -> tuple[float, ...]:
        """The delay before each retry, without jitter."""
        return tuple(self.first_delay_seconds * 2**n for n in range(self.retries))
