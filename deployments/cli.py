"""The console script `knowledge`. What is slow to import is imported by the command that needs it."""

import json
import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from deployments.organization_commands import commands as organization_commands
from knowledge.errors import ConfigurationError, KnowledgeError
from knowledge.settings import Settings

app = typer.Typer(
    help="Durable knowledge extraction: documents in, an evidenced knowledge graph out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(organization_commands, name="organization")
_error_console = Console(stderr=True)


class ExportFormat(StrEnum):
    """The formats of `knowledge export`."""

    TTL = "ttl"
    TRIG = "trig"
    NQ = "nq"
    JSONLD = "jsonld"
    JSONL = "jsonl"


class IfUnavailable(StrEnum):
    """What `knowledge ask` does when the chat endpoint does not answer."""

    EXTRACT = "extract"
    FAIL = "fail"


def main() -> None:
    """Run the command line; what goes wrong is one sentence on stderr and exit code 1."""
    # Before Prefect is imported: nothing is told to anybody.
    os.environ.setdefault("DO_NOT_TRACK", "1")
    try:
        app()
    except KnowledgeError as error:
        print(f"error: {error.message}", file=sys.stderr)
        sys.exit(1)


def load_settings() -> Settings:
    """The settings from the environment.

    Raises:
        ConfigurationError: a variable does not hold what it must.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise ConfigurationError("; ".join(_problems(error))) from None


def _problems(error: ValidationError) -> list[str]:
    return [
        f"KNOWLEDGE_{'__'.join(str(place) for place in problem['loc']).upper()}: {problem['msg']}"
        for problem in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def report(message: str) -> None:
    """Tell a person what is going on; on stderr, so that stdout holds results only."""
    _error_console.print(message, style="dim", highlight=False, markup=False)


@app.command()
def up() -> None:
    """Run the local stack in the foreground: PostgreSQL, Prefect server and worker. Ctrl-C stops it."""
    from deployments.stack import RunningStack, run_stack

    def on_ready(stack: RunningStack) -> None:
        if not stack.started_here:
            report("the stack is running already")
        report(f"Prefect's UI: {stack.ui_url}   To point Prefect's own commands at it:")
        print(f"export PREFECT_API_URL={stack.api_url}", flush=True)

    run_stack(load_settings(), report, on_ready)


@app.command("provision")
def provision_server() -> None:
    """Prepare a database and a Prefect server for workers elsewhere: tables, work pool, limit, blocks, deployments."""
    from deployments.installation import provision_installation

    report(f"provisioned {provision_installation(load_settings())}")


@app.command()
def down() -> None:
    """Stop the local stack, whatever is left of it."""
    from deployments.stack import stop_stack

    report("stopped" if stop_stack(load_settings()) else "nothing was running")


@app.command()
def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Print nothing; exit with 1 unless all parts of the stack run.")
    ] = False,
) -> None:
    """Show which parts run, with their pids, and the flow runs that are not finished."""
    if check:
        from deployments.stack import is_whole

        raise typer.Exit(0 if is_whole(load_settings()) else 1)
    from deployments.status import stack_status

    current = stack_status(load_settings())
    if as_json:
        print(json.dumps(current.as_json()))
        return
    console = Console()
    for name, pid in (
        ("PostgreSQL", current.postgres.pid),
        ("Prefect server", current.server.pid),
        ("worker", current.worker.pid),
        ("recovery", current.recovery.pid),
    ):
        console.print(f"{name:15} {'-' if pid is None else pid}", highlight=False)
    console.print(f"{'API':15} {current.server.url or '-'}", highlight=False)
    for run in current.flow_runs:
        console.print(f"{run.execution_id}  {run.status}  pid {run.pid or '-'}", highlight=False)
    for endpoint in current.endpoints:
        console.print(f"{endpoint.endpoint}  {endpoint.circuit}  {endpoint.detail}", highlight=False, markup=False)


Organization = Annotated[str, typer.Option(help="Whose documents and graph: a slug such as `acme`.")]
Out = Annotated[Path | None, typer.Option(help="Where the graph's files go; KNOWLEDGE_HOME/exports by default.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Keep = Annotated[bool, typer.Option("--keep", help="Leave a stack that was started for this command running.")]


@app.command()
def run(
    documents: Annotated[list[Path], typer.Argument(help="Text, Markdown, HTML, PDF, Word files.", show_default=False)],
    ontology: Annotated[Path, typer.Option(help="An OWL or RDFS file: Turtle, RDF/XML, N-Triples or JSON-LD.")],
    organization: Organization = "default",
    out: Out = None,
    as_json: AsJson = False,
    keep: Keep = False,
    review: Annotated[
        bool, typer.Option("--review", help="Hold each run before it publishes, until it is approved or rejected.")
    ] = False,
    max_calls: Annotated[
        int | None, typer.Option(min=1, help="Hold each run after so many remote model calls.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Hold each run after so many remote tokens.")] = None,
) -> None:
    """Extract documents into graphs: submits `extraction/default` for each, watches, and writes the files."""
    _run(documents, ontology, organization, out, (max_calls, max_tokens), as_json=as_json, keep=keep, review=review)


class OnFailure(StrEnum):
    """What a document that fails does to its batch."""

    CONTINUE = "continue"
    ABORT = "abort"
    RETRY = "retry"


@app.command()
def batch(
    sources: Annotated[
        list[str],
        typer.Argument(help="Folders, globs, manifests (.jsonl, .csv), files, URLs, ids (doc_…).", show_default=False),
    ],
    ontology: Annotated[str, typer.Option(help="An OWL or RDFS file or URL, or a stored ontology's id (ont_…).")],
    organization: Organization = "default",
    max_in_flight: Annotated[int, typer.Option(min=1, max=1000, help="Extractions under way at once.")] = 8,
    on_failure: Annotated[
        OnFailure, typer.Option(help="When a document fails: go on, end the batch, or try it again twice.")
    ] = OnFailure.CONTINUE,
    retract_missing: Annotated[
        bool, typer.Option("--retract-missing", help="Take out of the graph what the sources do not name any more.")
    ] = False,
    as_json: AsJson = False,
    keep: Keep = False,
) -> None:
    """Extract many documents; started again, only what is new or changed."""
    from deployments.batch_display import batch_display
    from deployments.batching import run_batch
    from knowledge.batches import FailurePolicy
    from knowledge.ids import OrganizationId
    from knowledge.pipeline import ExtractionOptions
    from tasks.batch_request import BatchRequest

    policy = FailurePolicy(on_failure.value)
    owner = OrganizationId(organization)
    request = BatchRequest(owner, tuple(sources), ontology, ExtractionOptions(), max_in_flight, policy, retract_missing)
    with batch_display() as show:
        done = run_batch(load_settings(), request, keep=keep, tell=report, show=show)
    print(json.dumps(done.as_json(), ensure_ascii=False) if as_json else "\n".join(done.lines()))
    if not done.succeeded:
        raise typer.Exit(1)


@app.command()
def batches(
    chosen: Annotated[str, typer.Argument(metavar="[BATCH]", help="One batch (bat_…).", show_default=False)] = "",
    organization: Organization = "default",
    as_json: AsJson = False,
) -> None:
    """Show an organisation's batches, or one of them with its documents."""
    from deployments.batching import list_batches, show_batch
    from knowledge.ids import BatchId, OrganizationId

    settings, owner = load_settings(), OrganizationId(organization)
    if chosen:
        found = show_batch(settings, owner, BatchId(chosen))
        print(json.dumps(found.as_json(), ensure_ascii=False) if as_json else "\n".join(found.lines()))
        return
    listed = list_batches(settings, owner)
    if as_json:
        print(json.dumps({"batches": [each.as_json() for each in listed]}, ensure_ascii=False))
    else:
        print("\n".join(each.line() for each in listed) or "no batches")


@app.command()
def demo(organization: Organization = "default", out: Out = None, as_json: AsJson = False, keep: Keep = False) -> None:
    """Extract the example documents that come with the project."""
    examples = _examples()
    documents = sorted(examples.glob("*.txt"))
    _run(documents, examples / "science.ttl", organization, out, as_json=as_json, keep=keep)


def _run(
    documents: list[Path],
    ontology: Path,
    organization: str,
    out: Path | None,
    ceiling: tuple[int | None, int | None] = (None, None),
    *,
    as_json: bool,
    keep: bool,
    review: bool = False,
) -> None:
    from deployments.display import print_report, progress_display
    from deployments.run import run_documents
    from deployments.submission import RunRequest
    from knowledge.pipeline import ExtractionOptions
    from tasks.ceiling import SpendCeiling

    spend = SpendCeiling(max_calls=ceiling[0], max_tokens=ceiling[1])
    request = RunRequest(tuple(documents), ontology, organization, ExtractionOptions(), review, spend)
    with progress_display() as show:
        finished = run_documents(load_settings(), request, out, keep=keep, tell=report, show=show)
    if as_json:
        print(json.dumps(finished.as_json(), ensure_ascii=False))
    else:
        print_report(finished)
    if not finished.succeeded:
        for item in finished.delivered:
            if item.error is not None:
                print(f"error: {item.error}", file=sys.stderr)
        raise typer.Exit(1)


def _examples() -> Path:
    packaged = Path(__file__).parent / "examples"
    return packaged if packaged.is_dir() else Path(__file__).parents[1] / "examples"


@app.command()
def export(
    output_format: Annotated[ExportFormat, typer.Option("--format", help="How the graph is written.")],
    organization: Organization = "default",
    execution: Annotated[
        str | None, typer.Option(help="One execution's graph; the latest of each document otherwise.")
    ] = None,
    min_confidence: Annotated[
        float, typer.Option(min=0, max=1, help="Leave out facts that are less sure than this.")
    ] = 0.0,
    out: Annotated[
        str | None, typer.Option(metavar="FILE|s3://…", help="A file or an S3 object to write; stdout otherwise.")
    ] = None,
) -> None:
    """Write an organisation's graph to stdout, a file or an S3-compatible store."""
    from deployments.export_target import write_out
    from deployments.graph_export import export_graph
    from knowledge.ids import ExecutionId, OrganizationId

    chosen = None if execution is None else ExecutionId(execution)
    pieces = export_graph(
        load_settings(), OrganizationId(organization), chosen, output_format.value, min_confidence=min_confidence
    )
    if out is not None:
        write_out(out, pieces)
        return
    for piece in pieces:
        sys.stdout.buffer.write(piece)


@app.command()
def check(
    organization: Organization = "default",
    execution: Annotated[
        str | None, typer.Option(help="One execution's graph; the latest of each document otherwise.")
    ] = None,
    shapes: Annotated[
        Path | None, typer.Option(help="SHACL shapes in Turtle; those made from the ontology otherwise.", exists=True)
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Where SHACL's own report goes, in Turtle.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check an organisation's graph against SHACL shapes; exit code 2 if it does not conform."""
    from deployments.graph_export import load_exports
    from knowledge.ids import ExecutionId, OrganizationId
    from knowledge.shacl import check_shapes

    chosen = None if execution is None else ExecutionId(execution)
    exports = load_exports(load_settings(), OrganizationId(organization), chosen)
    report = check_shapes(exports, None if shapes is None else shapes.read_text("utf-8"))
    if out is not None:
        out.write_text(report.turtle, "utf-8")
    if as_json:
        print(json.dumps(report.as_json(), ensure_ascii=False))
    else:
        for found in report.findings:
            print(f"{found.severity:9}  {found.name}: {found.message}{f' ({found.value})' if found.value else ''}")
        print("conforms" if report.conforms else f"{len(report.findings)} findings")
    if not report.conforms:
        raise typer.Exit(2)


@app.command("report")
def report_page(
    executions: Annotated[
        list[str] | None,
        typer.Argument(metavar="[EXECUTION]…", help="Executions' ids (exe_…); the whole organisation otherwise."),
    ] = None,
    organization: Organization = "default",
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
) -> None:
    """Write one HTML page with graph, evidence and history, to be opened in a browser."""
    from deployments.report import write_report
    from knowledge.ids import ExecutionId, OrganizationId

    chosen = [ExecutionId(execution) for execution in executions or ()]
    write_report(load_settings(), OrganizationId(organization), chosen, out)
    print(out)


@app.command()
def links(
    organization: Organization = "default",
    accept: Annotated[str | None, typer.Option(help="Accept this link (lnk_…).")] = None,
    undo: Annotated[str | None, typer.Option(help="Undo this link, for good.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show which entities of different documents are one thing, and why; accept or undo links."""
    from deployments.linking import decide_link, list_links
    from knowledge.ids import LinkId, OrganizationId
    from knowledge.linking import LinkStatus

    settings, owner = load_settings(), OrganizationId(organization)
    for link, decision in ((accept, LinkStatus.ACCEPTED), (undo, LinkStatus.UNDONE)):
        if link is not None:
            decide_link(settings, owner, LinkId(link), decision)
    found = list_links(settings, owner)
    if as_json:
        print(json.dumps(found, ensure_ascii=False))
        return
    for row in found:
        reasons = "; ".join(row["reasons"])
        print(f"{row['id']}  {row['status']:8}  {row['score']:.2f}  {row['label']} = {row['other_label']}: {reasons}")


Execution = Annotated[str, typer.Argument(help="An execution's id (exe_…).", show_default=False)]


@app.command()
def signal(
    execution: Execution,
    name: Annotated[str, typer.Argument(help="cancel, pause, resume, approve or reject.", show_default=False)],
    payload: Annotated[
        str, typer.Argument(metavar="[JSON]", help='An object, such as {"reason": "…"}.', show_default=False)
    ] = "",
    organization: Organization = "default",
) -> None:
    """Tell an execution something: recorded for good, and acted on once, whatever dies in between."""
    from deployments.signalling import send_signal
    from knowledge.ids import ExecutionId, OrganizationId

    sent = send_signal(load_settings(), OrganizationId(organization), ExecutionId(execution), name, payload)
    print(f"signal {sent.signal.number} to {execution}: {name}, recorded as {sent.signal.id}; {sent.effect}")


@app.command()
def progress(
    execution: Execution,
    organization: Organization = "default",
    follow: Annotated[
        bool, typer.Option("--follow", help="Stay until it is over; exit 1 unless it completed.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object; with --follow, one for each event.")
    ] = False,
) -> None:
    """Show how far an execution is, stage by stage, and what it was told."""
    from deployments.progress import execution_progress
    from knowledge.ids import ExecutionId, OrganizationId

    if follow:
        _follow_execution(organization, execution, as_json=as_json)
        return
    found = execution_progress(load_settings(), OrganizationId(organization), ExecutionId(execution))
    if as_json:
        print(json.dumps(found.as_json(), ensure_ascii=False))
        return
    console = Console()
    for line in found.lines(console.width):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _follow_execution(organization: str, execution: str, *, as_json: bool) -> None:
    from deployments.display import execution_display, execution_lines
    from deployments.progress import follow_progress
    from knowledge.domain import ExecutionStatus
    from knowledge.ids import ExecutionId, OrganizationId

    followed = OrganizationId(organization), ExecutionId(execution)
    with execution_lines() if as_json else execution_display() as tell:
        state = follow_progress(load_settings(), *followed, tell)
    if state.status is not ExecutionStatus.COMPLETED:
        raise typer.Exit(1)


@app.command()
def serve(
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 4300,
    host: Annotated[str, typer.Option(help="The address to listen on.")] = "127.0.0.1",
    expose: Annotated[
        bool, typer.Option("--expose", help="Allow an address that other machines can reach. There is no TLS.")
    ] = False,
) -> None:
    """Serve executions, their progress and signals over HTTP, to whoever has a token. Ctrl-C stops it."""
    from deployments.window.serving import serve as serve_window

    serve_window(load_settings(), host, port, exposed=expose, on_ready=lambda url: print(url, flush=True))


token = typer.Typer(help="Make, list and revoke the tokens that `knowledge serve` asks for.", no_args_is_help=True)
app.add_typer(token, name="token")


@token.command("create")
def create_token(
    name: Annotated[str, typer.Argument(help="What it is for, such as `dashboard`.", show_default=False)],
    organization: Organization = "default",
    days: Annotated[int, typer.Option(min=0, max=3650, help="How long it is good; 0: until it is revoked.")] = 90,
) -> None:
    """Make a token for one organisation. It is shown once, on stdout."""
    from deployments.tokens import create
    from knowledge.ids import OrganizationId

    made, text = create(load_settings(), OrganizationId(organization), name, days)
    report(f"{made.id} for {organization}; nobody can show it again")
    print(text)


@token.command("list")
def list_tokens(
    organization: Organization = "default",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a table.")] = False,
) -> None:
    """List an organisation's tokens, without their secrets."""
    from deployments.tokens import listed, token_json, token_line
    from knowledge.ids import OrganizationId

    found = listed(load_settings(), OrganizationId(organization))
    if as_json:
        print(json.dumps({"tokens": [token_json(each) for each in found]}))
        return
    for each in found:
        print(token_line(each))


@token.command("revoke")
def revoke_token(
    token_id: Annotated[str, typer.Argument(metavar="TOKEN", help="A token's id (tok_…).", show_default=False)],
    organization: Organization = "default",
) -> None:
    """Let a token open nothing any more. Streams that it has opened end within seconds."""
    from deployments.tokens import revoke
    from knowledge.ids import OrganizationId, TokenId

    revoked = revoke(load_settings(), OrganizationId(organization), TokenId(token_id))
    print(f"{revoked.id} ({revoked.name}) opens nothing any more")


@app.command()
def index(
    organization: Organization = "default",
    reembed: Annotated[
        bool, typer.Option("--reembed", help="Replace vectors of another embedding model than the configured one.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Bring an organisation's search index up to date with its graphs; `search` and `ask` do that, too."""
    from deployments.answering import index as bring_up_to_date
    from knowledge.ids import OrganizationId

    done = bring_up_to_date(load_settings(), OrganizationId(organization), reembed=reembed)
    if as_json:
        print(json.dumps(done.as_json()))
    else:
        print(f"indexed {done.segments} graphs: {done.entries} entries, {done.reused} vectors were there already")


@app.command()
def search(
    text: Annotated[str, typer.Argument(help="A question, a name, or a few words.", show_default=False)],
    organization: Organization = "default",
    limit: Annotated[int, typer.Option(min=1, max=1000, help="How many facts, entities and sentences.")] = 10,
    hops: Annotated[int, typer.Option(min=1, max=4, help="How far from what the text names facts are looked at.")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a list.")] = False,
) -> None:
    """Find facts, entities and evidence in an organisation's graph."""
    from deployments.answering import search as find
    from knowledge.answers.rendering import findings_json
    from knowledge.ids import OrganizationId
    from knowledge.search.retrieval import RetrievalOptions

    found = find(load_settings(), OrganizationId(organization), text, RetrievalOptions(limit=limit, hops=hops))
    if as_json:
        print(json.dumps(findings_json(found), ensure_ascii=False))
        return
    for fact in found.facts:
        print(f"{fact.fit:.2f}  {fact.fact.text}   [{fact.fact.document_name}]")


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="A question in plain English.", show_default=False)],
    organization: Organization = "default",
    if_unavailable: Annotated[
        IfUnavailable,
        typer.Option(help="Without the chat endpoint: answer in the documents' own words, or fail."),
    ] = IfUnavailable.EXTRACT,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")] = False,
) -> None:
    """Answer a question from an organisation's graph; every sentence cites what backs it."""
    from deployments.answering import ask as answer_from_graph
    from knowledge.answers.asking import WhenUnavailable
    from knowledge.answers.rendering import answer_json, answer_lines
    from knowledge.ids import OrganizationId

    way_out = WhenUnavailable(if_unavailable.value)
    answer = answer_from_graph(load_settings(), OrganizationId(organization), question, way_out)
    if as_json:
        print(json.dumps(answer_json(answer), ensure_ascii=False))
    else:
        print("\n".join(answer_lines(answer)))


@app.command()
def query(
    text: Annotated[str, typer.Argument(metavar="FILE|TEXT", help="A SPARQL query, or a file with one.")],
    organization: Organization = "default",
    inference: Annotated[
        bool, typer.Option("--inference", help="Also with what the ontology implies; such rows are marked.")
    ] = False,
    seconds: Annotated[float, typer.Option(min=0.1, max=600, help="Longest time that the query may take.")] = 10.0,
    rows: Annotated[int, typer.Option(min=1, max=1_000_000, help="Most rows that are returned.")] = 10_000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of rows.")] = False,
) -> None:
    """Run a SPARQL query over an organisation's graph: SELECT, ASK, CONSTRUCT or DESCRIBE."""
    from deployments.querying import query as run
    from deployments.querying import query_text
    from knowledge.ids import OrganizationId
    from knowledge.queries.query import QueryLimits

    limits = QueryLimits(seconds=seconds, rows=rows)
    result = run(load_settings(), OrganizationId(organization), query_text(text), inference=inference, limits=limits)
    print(json.dumps(result.as_json(), ensure_ascii=False) if as_json else "\n".join(result.lines()))


@app.command()
def prune(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would go.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a list.")] = False,
) -> None:
    """Remove what is over and old, of all organisations and in Prefect (KNOWLEDGE_RETENTION__…). Graphs stay."""
    from deployments.retention import prune_now

    found = prune_now(load_settings(), dry_run=dry_run)
    if as_json:
        print(json.dumps(found.as_json()))
    else:
        print("\n".join(found.lines()))


if __name__ == "__main__":
    main()
