"""The commands about executions: `signal`, `progress`, `serve`."""

import json
from typing import Annotated

import typer
from rich.console import Console

from deployments.command_line import Execution, Organization, load_settings

commands = typer.Typer()


@commands.command()
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


@commands.command()
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


@commands.command()
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
