"""The answer generator: finds, writes or extracts, and opens every citation before anything is said."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Protocol

from knowledge.answers.answer import Answer, AnswerSentence, DroppedSentence
from knowledge.answers.context import DEFAULT_CHARACTERS, Context, context_of
from knowledge.answers.extractive import confidence_of, extractive_answer, trace_of
from knowledge.answers.ports import AnswerModel, Written, WrittenSentence
from knowledge.answers.validation import Validated, validate
from knowledge.errors import InputRefused, ModelError
from knowledge.search.findings import Findings, FoundFact
from knowledge.search.ports import SearchSource
from knowledge.search.retrieval import RetrievalOptions, Retriever

MAX_QUESTION_CHARACTERS = 1000
_FACTS_FOR_MODELS = 30


class QuestionRefused(InputRefused):
    """A question that is empty or too long."""


class WhenUnavailable(StrEnum):
    """What is done when the chat endpoint does not answer."""

    EXTRACT = "extract"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class AnswerOptions:
    """How a question is answered: what happens without the endpoint, and how much a model is shown."""

    when_unavailable: WhenUnavailable = WhenUnavailable.EXTRACT
    context_characters: int = DEFAULT_CHARACTERS


class KeptAnswers(Protocol):
    """What models wrote is kept, so that the same question about the same items is not paid for again."""

    async def find(self, model: AnswerModel, question: str, context: Context) -> Written | None:
        """What the model wrote on this question and these items, if it has."""
        ...

    async def keep(self, model: AnswerModel, question: str, context: Context, written: Written) -> None:
        """Stores it."""
        ...


class GroundedAnswerGenerator:
    """Answers questions from one organisation's graph, with a chat model or, without one, extractively.

    Everything a model is shown comes out of that organisation's rows, and what it writes can cite nothing else: no
    instruction hidden in a document or a question can reach farther.
    """

    def __init__(
        self,
        source: SearchSource,
        retriever: Retriever,
        model: AnswerModel | None = None,
        kept: KeptAnswers | None = None,
    ) -> None:
        self._source = source
        self._retriever = retriever
        self._model = model
        self._kept = kept

    async def answer(self, question: str, options: AnswerOptions | None = None) -> Answer:
        """The answer, all of whose citations are in the graph and say what its sentences say.

        Raises:
            QuestionRefused: the question is empty or too long.
            ModelError: the embedding endpoint did not answer; or the chat endpoint, and the options say to fail.
            IndexMissing, IndexRefused, StoreUnavailable: there is nothing to search in, or not with this model.
        """
        return (await self.find_and_answer(question, options))[1]

    async def find_and_answer(self, question: str, options: AnswerOptions | None = None) -> tuple[Findings, Answer]:
        """What was found, and the answer made of it."""
        options = options or AnswerOptions()
        text = _asked(question)
        limit = RetrievalOptions().limit if self._model is None else _FACTS_FOR_MODELS
        findings = await self._retriever.find(text, RetrievalOptions(limit=limit))
        return findings, await self._answer(findings, options)

    async def _answer(self, findings: Findings, options: AnswerOptions) -> Answer:
        if self._model is None or not findings.facts:
            return await self._opened(findings, extractive_answer(findings))
        try:
            return await self._written(self._model, findings, options)
        except ModelError as error:
            if options.when_unavailable is WhenUnavailable.FAIL:
                raise
            answer = await self._opened(findings, extractive_answer(findings))
            return replace(answer, notes=(*answer.notes, f"answered without a chat model: {error.message}"))

    async def _written(self, model: AnswerModel, findings: Findings, options: AnswerOptions) -> Answer:
        context = context_of(findings, options.context_characters)
        written = await self._kept.find(model, findings.question, context) if self._kept else None
        if written is None:
            written = await model.write(findings.question, context)
            if self._kept:
                await self._kept.keep(model, findings.question, context, written)
        answer = Answer(findings.question, model.by, usage=written.usage)
        if not written.sentences:
            return replace(answer, reason="None of the facts found says what is asked.")
        cited, uncited = _with_citations(written.sentences, context)
        answer = await self._opened(findings, replace(answer, sentences=tuple(cited), dropped=tuple(uncited)))
        used = _used(findings, answer)
        if not answer.sentences or not used:
            return replace(
                answer, sentences=(), reason="No sentence of the answer held when its citations were opened."
            )
        support = len(answer.sentences) / (len(answer.sentences) + len(answer.dropped))
        return replace(answer, confidence=confidence_of(used, support), trace=trace_of(used))

    async def _opened(self, findings: Findings, answer: Answer) -> Answer:
        """The answer without the sentences whose citations do not hold; it says how many they were."""
        held = await asyncio.to_thread(self._open, findings, answer)
        dropped = (*answer.dropped, *held.dropped)
        notes = answer.notes
        if dropped:
            notes = (
                *notes,
                f"{len(dropped)} of {len(dropped) + len(held.sentences)} sentences were dropped: "
                "what they cite does not back them",
            )
        share = len(held.sentences) / (len(held.sentences) + len(dropped)) if held.sentences else 0.0
        confidence = replace(answer.confidence, support=share)
        return replace(answer, sentences=held.sentences, dropped=dropped, notes=notes, confidence=confidence)

    def _open(self, findings: Findings, answer: Answer) -> Validated:
        labels = {found.fact.predicate: found.fact.predicate_label for found in findings.facts}
        with self._source.view() as view:
            return validate(answer.sentences, view, labels)


def _asked(question: str) -> str:
    text = " ".join(question.replace("\x00", " ").split())
    if not text:
        raise QuestionRefused("the question is empty: ask something")
    if len(text) > MAX_QUESTION_CHARACTERS:
        raise QuestionRefused(f"the question has {len(text)} characters: ask in at most {MAX_QUESTION_CHARACTERS}")
    return text


def _with_citations(
    sentences: Sequence[WrittenSentence], context: Context
) -> tuple[list[AnswerSentence], list[DroppedSentence]]:
    """The sentences with what their marks stand for, and those with marks that stand for nothing."""
    cited: list[AnswerSentence] = []
    uncited: list[DroppedSentence] = []
    for sentence in sentences:
        unknown = [mark for mark in sentence.marks if mark not in context.citations]
        if unknown or not sentence.marks:
            problem = f"it cites {unknown[0]!r}, which it was not shown" if unknown else "it cites nothing"
            uncited.append(DroppedSentence(sentence.text, problem))
        else:
            marks = dict.fromkeys(sentence.marks)
            cited.append(AnswerSentence(sentence.text, tuple(context.citations[mark] for mark in marks)))
    return cited, uncited


def _used(findings: Findings, answer: Answer) -> tuple[FoundFact, ...]:
    """The found facts that the answer's sentences cite, themselves, by their evidence, or by an end; best first."""
    cited = {citation.id for sentence in answer.sentences for citation in sentence.citations}
    return tuple(
        found
        for found in findings.facts
        if {found.fact.id, *(e.id for e in found.fact.evidence), *(end.id for end in found.fact.ends)} & cited
    )
