"""`knowledge report`: one HTML page of some executions, or of all that an organisation's documents last gave."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from prefect.results import ResultRecord  # pyright: ignore[reportPrivateImportUsage]
from pydantic import TypeAdapter

from deployments.database import open_database
from deployments.export_target import write_out
from deployments.graph_export import completed_export
from knowledge.domain import Document, ExecutionStatus, Stage, WorkflowExecutionState
from knowledge.errors import NothingExtracted
from knowledge.exports import GraphExport
from knowledge.exports.report import Attempt, LeftOut, Report, ReportedRun, report_html
from knowledge.exports.report.left_out import left_out_of
from knowledge.findings import FoundMentions
from knowledge.ids import ExecutionId, OrganizationId
from knowledge.pipeline import ExtractionOptions
from knowledge.settings import Settings
from tables.activities import ActivityRecord
from tables.documents import load_document
from tables.extractions import extraction_options
from tables.graph_store import latest_extractions
from tables.ledger import Ledger
from tables.links import load_links
from tables.results import ResultStore
from tables.session import Database
from tables.signals import Signals

_ANSWER = TypeAdapter(FoundMentions)


def write_report(
    settings: Settings, organization_id: OrganizationId, execution_ids: Sequence[ExecutionId], target: str
) -> Report:
    """Writes the page, and returns what is on it; without execution ids it is on the whole organisation.

    Raises:
        ConfigurationError: no database is reachable, because no stack runs and no `DATABASE_URL` is set.
            Or the page cannot be written.
        NotFound: the organisation has no such execution, or nothing was extracted.
    """
    with open_database(settings) as database:
        report = load_report(database, organization_id, execution_ids)
    save_page(report, target)
    return report


def render_report(settings: Settings, organization_id: OrganizationId, execution_ids: Sequence[ExecutionId]) -> str:
    """The page that `write_report` writes.

    Raises:
        ConfigurationError, NotFound: as there.
        StoreUnavailable: the database did not answer.
    """
    with open_database(settings) as database:
        return report_html(load_report(database, organization_id, execution_ids))


def save_page(report: Report, target: str) -> None:
    """Writes the page to a file, for its owner's eyes only because it holds the documents, or to `s3://bucket/key`.

    Raises:
        InputRefused: the URL names no object.
        ConfigurationError: it cannot be written.
    """
    write_out(target, [report_html(report).encode()], private=True)


def load_report(database: Database, organization_id: OrganizationId, execution_ids: Sequence[ExecutionId]) -> Report:
    """The report on these executions, or on the latest completed one of each document and ontology.

    Raises:
        NotFound: the organisation has no such execution, or nothing was extracted.
        StoreUnavailable: the database did not answer.
    """
    chosen = execution_ids or [latest.execution_id for latest in latest_extractions(database, organization_id)]
    if not chosen:
        raise NothingExtracted(organization_id)
    ledger = Ledger(database, organization_id)
    runs = tuple(_run(database, ledger, organization_id, execution_id) for execution_id in dict.fromkeys(chosen))
    links = load_links(database, organization_id) if len(runs) > 1 else ()
    return Report(_title(organization_id, runs, whole=not execution_ids), runs, links, datetime.now(UTC))


def _title(organization_id: OrganizationId, runs: Sequence[ReportedRun], *, whole: bool) -> str:
    if whole:
        return f"The knowledge graph of {organization_id}"
    names = [run.state.document_name for run in runs]
    return f"What {names[0]} says" if len(names) == 1 else f"What {len(names)} documents say"


def _run(database: Database, ledger: Ledger, organization_id: OrganizationId, execution_id: ExecutionId) -> ReportedRun:
    state = ledger.load(execution_id)
    activities = ledger.load_activities(execution_id)
    export = None
    if state.status is ExecutionStatus.COMPLETED:
        export = completed_export(database, ledger, organization_id, execution_id)
    return ReportedRun(
        state,
        _document(database, state, export),
        export,
        tuple(map(_attempt, activities)),
        Signals(database, organization_id).history(execution_id),
        () if export is None else _left_out(database, export, activities),
    )


def _document(database: Database, state: WorkflowExecutionState, export: GraphExport | None) -> Document | None:
    if export is not None:
        return export.document
    if state.document_id is None:
        return None
    return load_document(database, state.organization_id, state.document_id)


def _attempt(record: ActivityRecord) -> Attempt:
    return Attempt(
        record.stage,
        record.item,
        record.attempt,
        record.status,
        record.started_at,
        record.ended_at,
        record.error,
        record.given_up,
    )


def _left_out(
    database: Database, export: GraphExport, activities: Iterable[ActivityRecord]
) -> tuple[LeftOut, ...] | None:
    """What the execution left out; None where its answers are not stored any more."""
    asked = {int(act.item): act.cache_key for act in activities if act.stage is Stage.MENTIONS and act.cache_key}
    organization_id = export.document.organization_id
    stored = ResultStore(database).read_many(organization_id, set(asked.values()))
    if asked and not stored:
        return None
    options = ExtractionOptions.model_validate(
        extraction_options(database, organization_id, export.graph.extraction_id)
    )
    answers = {index: _answer(stored[key]) for index, key in asked.items() if key in stored}
    return left_out_of(export.document, export.ontology, options, answers, export.graph.extraction_id)


def _answer(content: bytes) -> FoundMentions:
    record = ResultRecord[str].deserialize(content)
    return _ANSWER.validate_json(record.result)
