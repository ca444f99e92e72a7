"""A ceiling on what an execution may spend on models: calls, and tokens."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spent:
    """Calls begun and tokens read and written."""

    calls: int = 0
    tokens: int = 0

    def __str__(self) -> str:
        return f"{self.calls:,} calls and {self.tokens:,} tokens"


class CeilingReached(Exception):
    """The next call would go past the ceiling."""

    def __init__(self, spent: Spent) -> None:
        super().__init__(f"{spent} have been spent")
        self.spent = spent


class SpendMeter:
    """Counts what is spent. Calls are counted as they begin, so their ceiling is never passed; tokens as answers come,
    so what is in flight when their ceiling is reached still comes in. None means without limit."""

    def __init__(self, max_calls: int | None = None, max_tokens: int | None = None, spent: Spent | None = None) -> None:
        self._max_calls = max_calls
        self._max_tokens = max_tokens
        self._calls = spent.calls if spent else 0
        self._tokens = spent.tokens if spent else 0

    @property
    def spent(self) -> Spent:
        """What has been spent so far."""
        return Spent(self._calls, self._tokens)

    @property
    def is_exhausted(self) -> bool:
        """Whether no further call may begin."""
        no_calls = self._max_calls is not None and self._calls >= self._max_calls
        return no_calls or (self._max_tokens is not None and self._tokens >= self._max_tokens)

    def begin_call(self) -> None:
        """Counts a call that begins now.

        Raises:
            CeilingReached: it may not.
        """
        if self.is_exhausted:
            raise CeilingReached(self.spent)
        self._calls += 1

    def take_back(self) -> None:
        """The call was not answered: nothing was spent on it."""
        self._calls -= 1

    def add_tokens(self, tokens: int) -> None:
        """Counts an answer's tokens."""
        self._tokens += tokens
