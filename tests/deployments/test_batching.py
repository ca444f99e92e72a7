"""What a person who watches a batch is told."""

from deployments.batching import BatchReport
from knowledge.batches import Batch, BatchCounts, DocumentState, FailurePolicy
from knowledge.ids import BatchId, OrganizationId

BATCH = Batch(
    BatchId.derive("papers"),
    OrganizationId("acme"),
    "papers",
    ("papers/*.txt",),
    "mine.ttl",
    {},
    max_in_flight=8,
    on_failure=FailurePolicy.CONTINUE,
    retract_missing=False,
    quiet_seconds=0.0,
)


def test_a_batch_that_found_nothing_says_so_at_its_end() -> None:
    """A slip in a glob would otherwise look like a batch whose documents are still to come."""
    nothing = BatchCounts({}, 0, 0)
    assert BatchReport(BATCH, nothing, None, is_over=False).line().endswith("papers: no documents yet")
    assert BatchReport(BATCH, nothing, None, is_over=True).line().endswith("papers: its sources name no documents")
    one = BatchCounts({DocumentState.COMPLETED: 1}, 0, 0)
    assert BatchReport(BATCH, one, None, is_over=True).line().endswith("papers: 1 documents, 1 completed")
