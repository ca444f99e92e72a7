"""The commands about the installation: `up`, `provision`, `down`, `status`, `prune`."""

import json
from typing import Annotated

import typer
from rich.console import Console

from deployments.command_line import load_settings, report

commands = typer.Typer()


@commands.command()
def up() -> None:
    """Run the local stack in the foreground: PostgreSQL, Prefect server and worker. Ctrl-C stops it."""
    from deployments.stack import RunningStack, run_stack

    def on_ready(stack: RunningStack) -> None:
        if not stack.started_here:
            report("the stack is running already")
        report(f"Prefect's UI: {stack.ui_url}   To point Prefect's own commands at it:")
        print(f"export PREFECT_API_URL={stack.api_url}", flush=True)

    run_stack(load_settings(), report, on_ready)


@commands.command("provision")
def provision_server() -> None:
    """Prepare a database and a Prefect server for workers elsewhere: tables, work pool, limit, blocks, deployments."""
    from deployments.installation import provision_installation

    report(f"provisioned {provision_installation(load_settings())}")


@commands.command()
def down() -> None:
    """Stop the local stack, whatever is left of it."""
    from deployments.stack import stop_stack

    report("stopped" if stop_stack(load_settings()) else "nothing was running")


@commands.command()
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


@commands.command()
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
