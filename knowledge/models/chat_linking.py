"""Asking a chat model whether entities of two documents are one thing: several pairs at once, each answer checked."""

from collections.abc import Sequence
from typing import Any

from openai.types.chat import ChatCompletionMessageParam
from pydantic import BaseModel, ConfigDict, ValidationError

from knowledge.domain import Extractor
from knowledge.doubtful_links import DoubtfulPair, Verdict, Verdicts
from knowledge.models.answers import json_in
from knowledge.models.openai import ChatClient
from knowledge.prompts import load_prompt

LINK_PROMPT = "link.v1"
_ITEM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "pair": {"type": "string"},
        "same": {"type": "boolean"},
        "evidence_a": {"type": "string"},
        "evidence_b": {"type": "string"},
        "reason": {"type": "string"},
    },
    "required": ["pair", "same", "evidence_a", "evidence_b", "reason"],
    "additionalProperties": False,
}
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"verdicts": {"type": "array", "items": _ITEM}},
    "required": ["verdicts"],
    "additionalProperties": False,
}
_LONGEST_REASON = 200
_UNUSABLE = Verdict(None)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class _Said(_Part):
    pair: str
    same: bool
    evidence_a: str = ""
    evidence_b: str = ""
    reason: str = ""


class _Answer(_Part):
    verdicts: tuple[_Said, ...]


class ChatLinkModel:
    """Asks once; a pair that the answer leaves out, or says something unusable about, stays open."""

    def __init__(self, client: ChatClient) -> None:
        self._client = client

    @property
    def by(self) -> Extractor:
        """Who decides: model, settings and prompt."""
        settings = f"temperature={self._client.temperature}"
        return Extractor("chat", self._client.model, load_prompt(LINK_PROMPT).reference, settings)

    async def decide(self, pairs: Sequence[DoubtfulPair]) -> Verdicts:
        """The verdicts on the pairs. Who says that two are one must cite what both descriptions have."""
        prompt = load_prompt(LINK_PROMPT)
        shown = "\n\n".join(_shown(f"P{n}", pair) for n, pair in enumerate(pairs, 1))
        messages: list[ChatCompletionMessageParam] = [
            {"role": "system", "content": prompt.system},
            {"role": "user", "content": prompt.fill(pairs=shown)},
        ]
        answer = await self._client.ask(messages, "links", _SCHEMA)
        try:
            said = _Answer.model_validate(json_in(answer.text)).verdicts
        except ValidationError:
            said = ()
        return Verdicts(tuple(_verdict(f"P{n}", pair, said) for n, pair in enumerate(pairs, 1)), answer.usage)


def _shown(mark: str, pair: DoubtfulPair) -> str:
    sides = (("A", pair.one_lines), ("B", pair.other_lines))
    return "\n".join([f"[{mark}]", *(f"{side} {line}" for side, lines in sides for line in lines)])


def _verdict(mark: str, pair: DoubtfulPair, said: Sequence[_Said]) -> Verdict:
    """What is said of one pair; two different verdicts are none."""
    own = [item for item in said if item.pair.strip().strip("[]").casefold() == mark.casefold()]
    if not own or len({item.same for item in own}) > 1:
        return _UNUSABLE
    item = own[0]
    cited = _has(pair.one_lines, item.evidence_a) and _has(pair.other_lines, item.evidence_b)
    if item.same and not cited:
        return _UNUSABLE
    reason = " ".join(item.reason.split())[:_LONGEST_REASON]
    return Verdict(item.same, reason, (item.evidence_a.strip(), item.evidence_b.strip()) if cited else ("", ""))


def _has(lines: Sequence[str], quotation: str) -> bool:
    """Whether a description says what is quoted, but for case and white space, and the mark before it."""
    quoted = " ".join(quotation.split()).casefold()
    return bool(quoted) and any(quoted in " ".join(line.split()).casefold() for line in lines)
