"""What models wrote on questions, kept by content in the organisation's stored results."""

import asyncio
import json

from knowledge.answers.context import Context
from knowledge.answers.ports import AnswerModel, Written, WrittenSentence
from knowledge.ids import OrganizationId, digest_of
from tables.results import ResultStore
from tables.session import Database

_VERSION = "1"


class KeptAnswerStore:
    """Implements `knowledge.answers.asking.KeptAnswers`: the same question about the same items is paid for once."""

    def __init__(self, database: Database, organization_id: OrganizationId) -> None:
        self._results = ResultStore(database)
        self._organization_id = organization_id

    async def find(self, model: AnswerModel, question: str, context: Context) -> Written | None:
        """What the model wrote on this question and these items, if it has; its usage was paid then, not now."""
        payload = await asyncio.to_thread(
            self._results.read, self._organization_id, self._key(model, question, context)
        )
        if payload is None:
            return None
        sentences = json.loads(payload)["sentences"]
        return Written(tuple(WrittenSentence(item["text"], tuple(item["marks"])) for item in sentences))

    async def keep(self, model: AnswerModel, question: str, context: Context, written: Written) -> None:
        """Stores it, verified.

        Raises:
            ResultNotPersisted: it could not be stored.
        """
        sentences = [{"text": sentence.text, "marks": list(sentence.marks)} for sentence in written.sentences]
        payload = json.dumps({"sentences": sentences}, ensure_ascii=True).encode()
        key = self._key(model, question, context)
        await asyncio.to_thread(self._results.write, self._organization_id, key, payload)

    def _key(self, model: AnswerModel, question: str, context: Context) -> str:
        digest = digest_of(_VERSION, model.by.digest, question, *context.lines)
        return f"{self._organization_id}/answer/{digest}"
