"""`knowledge report`: from rows to a page, of one organisation and no other."""

import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prefect.results import ResultRecord, ResultRecordMetadata  # pyright: ignore[reportPrivateImportUsage]
from prefect.serializers import JSONSerializer
from pydantic import TypeAdapter

from deployments.report import load_report, save_page
from knowledge.domain import ActivityStatus, ExecutionStatistics, ExecutionStatus, Extractor, Stage
from knowledge.errors import NotFound
from knowledge.exports.report import LeftOut
from knowledge.findings import FoundMentions, ListedThing, Statement
from knowledge.ids import ActivityId, OrganizationId
from knowledge.ontology import load_ontology
from knowledge.signals import SignalName
from knowledge.stages.mentions import find_mentions
from knowledge.stages.relations import UNKNOWN_PREDICATE
from tables.activities import ActivityRecord
from tables.ledger import Ledger
from tables.results import ResultStore
from tables.session import Database
from tables.signals import Signals
from tests.graphs import FILMS, ONTOLOGY, publish_facts

_NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_a_report_has_the_graph_and_what_happened(database: Database, organization_id: OrganizationId) -> None:
    """Everything that the tables have of an execution."""
    published = publish_facts(database, organization_id)
    activity = ActivityRecord(
        ActivityId.new(),
        published.execution_id,
        Stage.MENTIONS,
        "00000",
        1,
        ActivityStatus.FAILED,
        _NOON,
        _NOON + timedelta(seconds=2),
        error="503: busy",
    )
    Ledger(database, organization_id).record_activities([activity])
    report = load_report(database, organization_id, [published.execution_id, published.execution_id])
    (run,) = report.runs
    assert report.title == "What films says"
    assert run.export is not None
    assert run.export.graph == published.graph
    assert [(attempt.status, attempt.error) for attempt in run.attempts] == [(ActivityStatus.FAILED, "503: busy")]


def test_an_organisations_report_has_all_its_documents_and_links(
    database: Database, organization_id: OrganizationId
) -> None:
    """Without ids it is about everything."""
    publish_facts(database, organization_id)
    publish_facts(database, organization_id, FILMS[:1], name="again")
    report = load_report(database, organization_id, ())
    assert sorted(run.state.document_name for run in report.runs) == ["again", "films"]
    assert report.title == f"The knowledge graph of {organization_id}"


def test_a_run_that_is_not_over_has_a_report(database: Database, organization_id: OrganizationId) -> None:
    """What happened so far, and what it was told; there is no graph yet."""
    ledger = Ledger(database, organization_id)
    state = ledger.open_execution(None, document_name="slow", parameters={}, pid=1, host="h")
    Signals(database, organization_id).send(state.id, SignalName.PAUSE, {}, "ada")
    (run,) = load_report(database, organization_id, [state.id]).runs
    assert (run.export, run.document, run.state.status) == (None, None, ExecutionStatus.RUNNING)
    assert [signal.name for signal in run.signals] == [SignalName.PAUSE]


def test_what_was_left_out_is_read_from_the_stored_answers(database: Database, organization_id: OrganizationId) -> None:
    """In the form in which runs store them; a fact without a predicate of the ontology is unmapped."""
    published = publish_facts(database, organization_id)
    text = published.document.text
    things = (ListedThing("e1", "Night Ferry", ("Film",)), ListedThing("e2", "Ada Brandt", ("Person",)))
    placed = find_mentions(text, things, load_ontology(ONTOLOGY, "films.ttl"))
    said = Statement("e1", "painted by", "e2", quote="Night Ferry was directed by Ada Brandt.")
    answer = FoundMentions(placed.mentions, placed.things, (said,), Extractor("chat", "m"))
    key = f"{organization_id}/mentions/1"
    payload = TypeAdapter(FoundMentions).dump_json(answer).decode()
    record = ResultRecord(result=payload, metadata=ResultRecordMetadata(storage_key=key, serializer=JSONSerializer()))
    ResultStore(database).write(organization_id, key, record.serialize())
    asked = ActivityRecord(
        ActivityId.new(),
        published.execution_id,
        Stage.MENTIONS,
        "00000",
        1,
        ActivityStatus.COMPLETED,
        _NOON,
        _NOON,
        cache_key=key,
    )
    Ledger(database, organization_id).record_activities([asked])
    (run,) = load_report(database, organization_id, [published.execution_id]).runs
    assert run.left_out == (LeftOut(UNKNOWN_PREDICATE, "Night Ferry painted by Ada Brandt", 0, is_unmapped=True),)


def test_what_answers_cannot_be_read_any_more_is_not_said_to_be_nothing(
    database: Database, organization_id: OrganizationId
) -> None:
    """Answers may be gone; then nobody knows what was left out."""
    published = publish_facts(database, organization_id)
    asked = ActivityRecord(
        ActivityId.new(),
        published.execution_id,
        Stage.MENTIONS,
        "00000",
        1,
        ActivityStatus.COMPLETED,
        _NOON,
        _NOON,
        cache_key=f"{organization_id}/gone",
    )
    Ledger(database, organization_id).record_activities([asked])
    (run,) = load_report(database, organization_id, [published.execution_id]).runs
    assert run.left_out is None


def test_another_organisations_execution_is_not_found(database: Database, organization_id: OrganizationId) -> None:
    """An id is no key."""
    published = publish_facts(database, organization_id)
    stranger = OrganizationId(f"not-{organization_id}"[:60])
    with pytest.raises(NotFound):
        load_report(database, stranger, [published.execution_id])
    with pytest.raises(NotFound, match="has no graph"):
        load_report(database, stranger, ())


def test_a_page_is_for_its_owners_eyes(database: Database, organization_id: OrganizationId, tmp_path: Path) -> None:
    """It holds the documents; and nothing is left of a page that was replaced."""
    ledger = Ledger(database, organization_id)
    state = ledger.open_execution(None, document_name="x", parameters={}, pid=1, host="h")
    ledger.close_execution(state.id, ExecutionStatus.FAILED, "no", ExecutionStatistics())
    file = tmp_path / "new" / "report.html"
    for _ in range(2):
        save_page(load_report(database, organization_id, [state.id]), str(file))
    assert [path.name for path in file.parent.iterdir()] == ["report.html"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "<!doctype html>" in file.read_text(encoding="utf-8")[:20]
