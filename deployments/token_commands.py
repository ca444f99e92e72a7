"""`knowledge token`: who may look through the window."""

import json
from typing import Annotated

import typer

from deployments.command_line import Organization, load_settings, report

commands = typer.Typer(help="Make, list and revoke the tokens that `knowledge serve` asks for.", no_args_is_help=True)


@commands.command("create")
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


@commands.command("list")
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


@commands.command("revoke")
def revoke_token(
    token_id: Annotated[str, typer.Argument(metavar="TOKEN", help="A token's id (tok_…).", show_default=False)],
    organization: Organization = "default",
) -> None:
    """Let a token open nothing any more. Streams that it has opened end within seconds."""
    from deployments.tokens import revoke
    from knowledge.ids import OrganizationId, TokenId

    revoked = revoke(load_settings(), OrganizationId(organization), TokenId(token_id))
    print(f"{revoked.id} ({revoked.name}) opens nothing any more")
