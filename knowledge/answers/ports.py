"""The port through which answers are written by a model."""

from dataclasses import dataclass, field
from typing import Protocol

from knowledge.answers.context import Context
from knowledge.domain import Extractor, Usage


@dataclass(frozen=True, slots=True)
class WrittenSentence:
    """A sentence as a model wrote it, and the marks of the items that it says it rests on."""

    text: str
    marks: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Written:
    """What a model wrote: nothing when it finds that the items do not answer."""

    sentences: tuple[WrittenSentence, ...]
    usage: Usage = field(default_factory=Usage)


class AnswerModel(Protocol):
    """Writes answers from items of the graph. What it writes is believed only as far as its citations hold."""

    @property
    def by(self) -> Extractor:
        """Who writes: model, settings and prompt."""
        ...

    async def write(self, question: str, context: Context) -> Written:
        """The answer to the question, from the context's items.

        Raises:
            ModelError: the model did not answer, or not as asked.
        """
        ...
