"""The commands that extract: `run`, `demo`, `batch`, `batches`."""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from deployments.command_line import AsJson, Keep, Organization, Out, load_settings, report

commands = typer.Typer()


@commands.command()
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


@commands.command()
def demo(organization: Organization = "default", out: Out = None, as_json: AsJson = False, keep: Keep = False) -> None:
    """Extract the example documents that come with the project."""
    examples = _examples()
    documents = sorted(examples.glob("*.txt"))
    _run(documents, examples / "science.ttl", organization, out, as_json=as_json, keep=keep)


def _run(
    documents: list[Path],
    ontology: Path,
    organization: str,
    out: str | None,
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


class OnFailure(StrEnum):
    """What a document that fails does to its batch."""

    CONTINUE = "continue"
    ABORT = "abort"
    RETRY = "retry"


@commands.command()
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


@commands.command()
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
