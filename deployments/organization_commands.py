"""The commands below `knowledge organization`."""

import json
from typing import Annotated

import typer

from deployments.command_line import load_settings

commands = typer.Typer(help="Everything of an organisation: written out, or erased.", no_args_is_help=True)
OrganizationSlug = Annotated[
    str, typer.Argument(metavar="ORGANIZATION", help="A slug such as `acme`.", show_default=False)
]


@commands.command("export")
def export_all(
    organization: OrganizationSlug,
    out: Annotated[str, typer.Option(help="A directory that is new or empty.", show_default=False)],
) -> None:
    """Write documents, ontologies, the graph, and every row of every table into a directory."""
    from deployments.export_target import require_path
    from deployments.organizations import export_organization
    from knowledge.ids import OrganizationId

    counts = export_organization(load_settings(), OrganizationId(organization), require_path(out))
    print(f"{out}: {sum(counts.values())} rows of {len(counts)} tables, with documents, ontologies and graph")


@commands.command()
def erase(
    organization: OrganizationSlug,
    yes: Annotated[bool, typer.Option("--yes", help="Do it; there is no way back.")] = False,
    cancel_runs: Annotated[bool, typer.Option("--cancel-runs", help="Cancel what is under way first.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of a sentence.")] = False,
) -> None:
    """Erase all that an organisation has: rows, answers, search index, Prefect's runs, files. Counted afterwards."""
    from deployments.organizations import erase_organization
    from knowledge.errors import ErasureRefused
    from knowledge.ids import OrganizationId

    owner = OrganizationId(organization)
    if not yes:
        raise ErasureRefused(f"this erases all of {owner} for good: say so with --yes, after `organization export`")
    done = erase_organization(load_settings(), owner, cancel_runs=cancel_runs)
    if as_json:
        print(json.dumps(done.as_json()))
        return
    prefect = "Prefect was not asked" if done.erased.flow_runs is None else f"{done.erased.flow_runs} flow runs"
    print(f"{owner} is erased: {sum(done.erased.rows.values())} rows, {prefect}; no table has a row of it")
