"""What every flow process needs, imported once by the process that they are forked from.

Nothing here may start a thread, open a connection or draw a random number: what is forked would share it.
"""

import gc
import importlib

from pydantic import BaseModel
from sqlalchemy.orm import configure_mappers

from knowledge.models.embedded.loading import language
from knowledge.settings import Settings

_FLOWS = ("extraction", "extraction_batch", "answer", "indexing", "inbox", "recovery", "retention")
_MODULES = ("deployments.flow_engine", *(f"flows.{flow}" for flow in _FLOWS))
# The worker is the main module of its children, so they execute it again: what it imports is here by then.
_WORKER = "deployments.worker"
# Prefect and others import these when they are first used.
_LATE = (
    "anyio._backends._asyncio",
    "encodings.idna",
    "encodings.utf_8_sig",
    "prefect.concurrency._sync",
    "prefect.task_engine",
    "prefect.utilities.visualization",
    "rich._emoji_codes",
)
_REMOTE_MODELS = (
    "knowledge.models.chat_answers",
    "knowledge.models.chat_extraction",
    "knowledge.models.chat_linking",
    "knowledge.models.openai",
)
# A run's own objects go as it ends, almost all without being looked for: a document of 3,000 words leaves some 7,000 in
# circles, a megabyte. Looking for them takes a fiftieth of a run, and a process ends after some runs.
_GARBAGE_THRESHOLD = 500_000


def _complete_models(base: type[BaseModel]) -> None:
    """Build the validators that pydantic puts off until a model is first used."""
    for model in base.__subclasses__():
        if not model.__pydantic_complete__:
            # One that refers to what is not imported stays as it was.
            model.model_rebuild(raise_errors=False)
        _complete_models(model)


def _preload() -> None:
    settings = Settings()
    for module in (*_MODULES, *_LATE, _WORKER):
        importlib.import_module(module)
    if settings.chat.is_configured or settings.embedding.is_configured:
        for module in _REMOTE_MODELS:
            importlib.import_module(module)
        from knowledge.models.wire import certificate_store

        # What it draws for a server's session tickets no client uses, and OpenSSL's generator starts anew after a fork.
        certificate_store()
    if not settings.chat.is_configured:
        language()
    configure_mappers()
    _complete_models(BaseModel)
    # What is here now stays, so no process need copy it to have its garbage counted.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE_THRESHOLD)


_preload()
