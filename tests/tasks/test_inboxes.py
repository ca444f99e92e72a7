"""What is news in a folder: level-triggered, against what its batch has read."""

import os
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from knowledge.batches import Batch, DocumentState, FailurePolicy, moved
from knowledge.domain import ExecutionStatistics, ExecutionStatus
from knowledge.errors import LocationRefused
from knowledge.ids import FlowRunId, OrganizationId
from knowledge.pipeline import ExtractionOptions
from knowledge.settings import DocumentSettings, Settings
from tables.batches import BatchStore
from tables.ledger import Ledger
from tables.session import Database
from tasks.batch_request import BatchRequest
from tasks.inboxes import InboxNews, inbox_news
from tasks.sources import Listing, Sources


class Inbox:
    """A folder and its batch."""

    def __init__(self, database: Database, organization_id: OrganizationId, folder: Path) -> None:
        self.folder = folder
        self._database = database
        self._settings = Settings(documents=DocumentSettings(allowed_roots=(str(folder.parent),)))
        self._request = BatchRequest(
            organization_id,
            (folder.name,),
            "o.ttl",
            ExtractionOptions(),
            4,
            FailurePolicy.CONTINUE,
            retract_missing=True,
            quiet_seconds=0.0,
        )
        self._store = BatchStore(database, organization_id)
        self._ledger = Ledger(database, organization_id)

    def batch(self, **changes: object) -> Batch:
        """What the inbox asks for."""
        return replace(self._request.batch(self._settings), **changes)  # pyright: ignore[reportArgumentType]

    def news(self) -> InboxNews:
        """One look."""
        return inbox_news(self._database, self.batch(), self._settings)

    def run_pass(self, *, ended: bool = True) -> None:
        """A pass of the batch that reads everything, and fails with it."""
        run = FlowRunId(str(uuid4()))
        batch = self._store.claim(self.batch(), run)
        state = self._ledger.open_execution(run, document_name="in", parameters={}, pid=1, host="h")
        self._store.attach(batch.id, state.id)
        listed = Sources(self._settings.documents).documents(batch.sources, batch.ontology, Listing())
        self._store.register(batch.id, batch.passes, listed)
        looks = self.news().changed
        found = self._store.pending(batch.id, batch.passes, 100)
        self._store.save([moved(d, DocumentState.FAILED, seen=looks.get(d.location, d.seen)) for d in found])
        if ended:
            self._ledger.close_execution(state.id, ExecutionStatus.COMPLETED, None, ExecutionStatistics())


@pytest.fixture
def inbox(database: Database, organization_id: OrganizationId, tmp_path: Path) -> Inbox:
    """Two documents and an ontology."""
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.txt", "b.txt"):
        (folder / name).write_text(name)
    (tmp_path / "o.ttl").write_text("ontology")
    return Inbox(database, organization_id, folder)


def _names(news: InboxNews) -> list[str]:
    return sorted(Path(path).name for path in news.changed)


def test_what_has_not_been_read_as_it_is_now_is_news(inbox: Inbox) -> None:
    """New and changed files, all of them when the ontology changes; what has failed stays failed until it changes."""
    assert _names(inbox.news()) == ["a.txt", "b.txt"]
    inbox.run_pass()
    assert _names(inbox.news()) == []
    (inbox.folder / "b.txt").write_text("longer than before")
    (inbox.folder / "c.md").write_text("new")
    assert _names(inbox.news()) == ["b.txt", "c.md"]
    inbox.run_pass()
    assert (_names(inbox.news()), inbox.news().passes) == ([], 2)
    os.utime(inbox.folder.parent / "o.ttl", (1.0, 1.0))
    assert _names(inbox.news()) == ["a.txt", "b.txt", "c.md"]


def test_all_who_look_at_once_start_one_run_and_later_ones_another(inbox: Inbox) -> None:
    """A folder that comes back to what it was is not what it was."""
    first = inbox.news().key(inbox.batch())
    assert inbox.news().key(inbox.batch()) == first
    inbox.run_pass()
    text, times = (inbox.folder / "b.txt").read_text(), (inbox.folder / "b.txt").stat()
    (inbox.folder / "b.txt").write_text("longer than before")
    second = inbox.news().key(inbox.batch())
    inbox.run_pass()
    (inbox.folder / "b.txt").write_text(text)
    os.utime(inbox.folder / "b.txt", ns=(times.st_atime_ns, times.st_mtime_ns))
    third = inbox.news().key(inbox.batch())
    assert len({first, second, third, inbox.news().key(inbox.batch(max_in_flight=9))}) == 4


def test_a_batch_at_work_is_left_to_it(inbox: Inbox) -> None:
    """The next look finds what came meanwhile."""
    inbox.run_pass(ended=False)
    (inbox.folder / "c.md").write_text("new")
    assert (inbox.news().is_busy, _names(inbox.news())) == (True, ["c.md"])


def test_an_inbox_that_is_not_there_is_refused(inbox: Inbox) -> None:
    """A disk that is not mounted must not look like a folder that was emptied."""
    for name in ("a.txt", "b.txt"):
        (inbox.folder / name).unlink()
    inbox.folder.rmdir()
    with pytest.raises(LocationRefused, match="not a directory"):
        inbox.news()
