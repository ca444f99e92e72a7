"""A stage applied to an item, described so that it can be run plainly or durably."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from knowledge.domain import Stage

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class StageCall(Generic[Result]):
    """One stage on one item.

    `item` is stable within an execution (an activity is known by stage and item); `label` is for people.
    `identity` holds all that decides the answer, the organisation apart: stage version, model, prompt, ontology
    and input digests. Without it the result is not kept, because computing it anew is as cheap as reading it.
    """

    stage: Stage
    item: str
    label: str
    identity: tuple[str, ...]
    result_type: type[Result]
    run: Callable[[], Awaitable[Result]]


@dataclass(frozen=True, slots=True)
class StageAnswer(Generic[Result]):
    """What a stage answered, and whether a stored result answered instead of a model."""

    value: Result
    cached: bool = False


class StageRunner(Protocol):
    """Runs stage calls: plainly, or with retries and stored results."""

    async def __call__(self, call: StageCall[Result]) -> StageAnswer[Result]: ...


async def run_plainly(call: StageCall[Result]) -> StageAnswer[Result]:
    """The stage's answer, without retries and without storing it."""
    return StageAnswer(await call.run())


CallExpecter = Callable[[Sequence[StageCall[Any]]], Awaitable[None]]
"""Is told of calls that will be made soon."""


async def expect_nothing(calls: Sequence[StageCall[Any]]) -> None:
    """Calls that are run plainly need no preparation."""
