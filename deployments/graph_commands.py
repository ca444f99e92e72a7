"""The commands about graphs that are there: `export`, `check`, `report`, `links`."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from deployments.command_line import AsJson, Organization, load_settings

commands = typer.Typer()


class ExportFormat(StrEnum):
    """The formats of `knowledge export`."""

    TTL = "ttl"
    TRIG = "trig"
    NQ = "nq"
    JSONLD = "jsonld"
    JSONL = "jsonl"


@commands.command()
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


@commands.command()
def check(
    organization: Organization = "default",
    execution: Annotated[
        str | None, typer.Option(help="One execution's graph; the latest of each document otherwise.")
    ] = None,
    shapes: Annotated[
        Path | None, typer.Option(help="SHACL shapes in Turtle; those made from the ontology otherwise.", exists=True)
    ] = None,
    out: Annotated[
        str | None, typer.Option(metavar="FILE|s3://…", help="Where SHACL's own report goes, in Turtle.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check an organisation's graph against SHACL shapes; exit code 2 if it does not conform."""
    from deployments.export_target import write_out
    from deployments.graph_export import load_exports
    from knowledge.ids import ExecutionId, OrganizationId
    from knowledge.shacl import check_shapes

    chosen = None if execution is None else ExecutionId(execution)
    exports = load_exports(load_settings(), OrganizationId(organization), chosen)
    report = check_shapes(exports, None if shapes is None else shapes.read_text("utf-8"))
    if out is not None:
        write_out(out, [report.turtle.encode()])
    if as_json:
        print(json.dumps(report.as_json(), ensure_ascii=False))
    else:
        for found in report.findings:
            print(f"{found.severity:9}  {found.name}: {found.message}{f' ({found.value})' if found.value else ''}")
        print("conforms" if report.conforms else f"{len(report.findings)} findings")
    if not report.conforms:
        raise typer.Exit(2)


@commands.command("report")
def report_page(
    executions: Annotated[
        list[str] | None,
        typer.Argument(metavar="[EXECUTION]…", help="Executions' ids (exe_…); the whole organisation otherwise."),
    ] = None,
    organization: Organization = "default",
    out: Annotated[
        str, typer.Option(metavar="FILE|s3://…", help="The HTML file or S3 object to write.")
    ] = "report.html",
) -> None:
    """Write one HTML page with graph, evidence and history, to be opened in a browser."""
    from deployments.report import write_report
    from knowledge.ids import ExecutionId, OrganizationId

    chosen = [ExecutionId(execution) for execution in executions or ()]
    write_report(load_settings(), OrganizationId(organization), chosen, out)
    print(out)


@commands.command()
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
    if not found:
        print("no links")
    for row in found:
        reasons = "; ".join(row["reasons"])
        print(f"{row['id']}  {row['status']:8}  {row['score']:.2f}  {row['label']} = {row['other_label']}: {reasons}")
