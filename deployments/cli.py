"""The console script `knowledge`. What is slow to import is imported by the command that needs it."""

import os
import sys

import typer

from deployments import (
    execution_commands,
    graph_commands,
    organization_commands,
    question_commands,
    run_commands,
    stack_commands,
    token_commands,
)
from knowledge.errors import KnowledgeError

app = typer.Typer(
    help="Durable knowledge extraction: documents in, an evidenced knowledge graph out.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
for _group in (stack_commands, run_commands, graph_commands, execution_commands, question_commands):
    app.add_typer(_group.commands)
app.add_typer(organization_commands.commands, name="organization")
app.add_typer(token_commands.commands, name="token")


def main() -> None:
    """Run the command line; what goes wrong is one sentence on stderr and exit code 1."""
    # Before Prefect is imported: nothing is told to anybody.
    os.environ.setdefault("DO_NOT_TRACK", "1")
    try:
        app()
    except KnowledgeError as error:
        print(f"error: {error.message}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
