"""The commands that find and answer: `index`, `search`, `ask`, `query`."""

import json
from enum import StrEnum
from typing import Annotated

import typer

from deployments.command_line import AsJson, Organization, load_settings

commands = typer.Typer()


class IfUnavailable(StrEnum):
    """What `knowledge ask` does when the chat endpoint does not answer."""

    EXTRACT = "extract"
    FAIL = "fail"


@commands.command()
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


@commands.command()
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


@commands.command()
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


@commands.command()
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
