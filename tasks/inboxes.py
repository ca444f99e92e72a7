"""Inboxes: a folder is looked at, and a batch started for what is new, changed or gone."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

from prefect.client.orchestration import get_client

from knowledge.batches import Batch
from knowledge.errors import LocationRefused, NotFound
from knowledge.ids import digest_of
from knowledge.settings import Settings
from tables.batches import BatchStore
from tables.ledger import Ledger
from tables.session import Database
from tasks.batch_request import DEPLOYMENT, BatchRequest, batch_parameters
from tasks.results import RESULTS_BLOCK, ResultStorage
from tasks.sources import Listing, Sources, look_of


@dataclass(frozen=True, slots=True)
class InboxNews:
    """What is to be done about a folder: looks of new and changed files by path, paths of files that are gone.

    `passes` is how often its batch had been started before; `is_busy` says that one of its runs is at work.
    """

    passes: int
    is_busy: bool
    changed: dict[str, str]
    gone: tuple[str, ...]
    being_written: int

    def key(self, batch: Batch) -> str:
        """The idempotency key of the flow run that does it: all who look at once start one run."""
        asked = (f"{name}={value}" for name, value in sorted(batch_parameters(batch).items()))
        looks = (f"{path}: {look}" for path, look in sorted(self.changed.items()))
        return f"inbox-{digest_of(batch.id, str(self.passes), *asked, *looks, *self.gone)[:32]}"


async def empty_inbox(request: BatchRequest, settings: Settings) -> dict[str, object]:
    """Starts a flow run of the batch if there is news and none is at work; what was found, and the flow run.

    Level-triggered: what is not taken up now will be by the next look.

    Raises:
        LocationRefused: the folder does not exist, or lies where this installation may not read.
        StoreUnavailable, httpx.HTTPError, PrefectHTTPStatusError: database or Prefect's API did not answer.
    """
    batch = request.batch(settings)
    async with get_client() as client:
        storage = await ResultStorage.aload(RESULTS_BLOCK, client=client)
        news = await asyncio.to_thread(inbox_news, storage.database, batch, settings)
        said: dict[str, object] = {
            "batch_id": batch.id,
            "changed": len(news.changed),
            "gone": len(news.gone),
            "being_written": news.being_written,
            "is_busy": news.is_busy,
        }
        if news.is_busy or not (news.changed or news.gone):
            return said
        deployment = await client.read_deployment_by_name(DEPLOYMENT)
        run = await client.create_flow_run_from_deployment(
            deployment.id,
            name=f"inbox {batch.name}",
            parameters=batch_parameters(batch),
            tags=[batch.organization_id],
            idempotency_key=news.key(batch),
        )
    return {**said, "flow_run_id": str(run.id)}


def inbox_news(database: Database, batch: Batch, settings: Settings) -> InboxNews:
    """What the batch, whose one source is a folder, has not seen yet.

    Raises:
        LocationRefused: the folder does not exist.
        StoreUnavailable: the database did not answer.
    """
    (folder,) = batch.sources
    if not Path(folder).is_dir():
        raise LocationRefused(folder, "is not a directory: an inbox is one")
    listing = Listing()
    documents = Sources(settings.documents, batch.quiet_seconds).documents(batch.sources, batch.ontology, listing)
    looks = {document.location: look_of(document.location, document.ontology) for document in documents}
    store = BatchStore(database, batch.organization_id)
    passes, is_busy = _standing(database, store, batch)
    seen, published = store.seen(batch.id)
    gone = published - looks.keys() - set(listing.unsettled) if batch.retract_missing else frozenset[str]()
    changed = {path: look for path, look in looks.items() if seen.get(path) != look}
    return InboxNews(passes, is_busy, changed, tuple(sorted(gone)), len(listing.unsettled))


def _standing(database: Database, store: BatchStore, batch: Batch) -> tuple[int, bool]:
    """How often the batch has been started, and whether a run of it is at work or will be resumed."""
    try:
        known = store.load(batch.id)
    except NotFound:
        return 0, False
    if known.execution_id is None:
        return known.passes, False
    status = Ledger(database, batch.organization_id).load(known.execution_id).status
    return known.passes, not status.is_final
