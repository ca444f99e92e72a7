"""What the commands of the console script share: settings, messages to people, and options of one meaning."""

from typing import Annotated

import typer
from pydantic import ValidationError
from rich.console import Console

from knowledge.errors import ConfigurationError
from knowledge.settings import Settings

_error_console = Console(stderr=True)

Organization = Annotated[str, typer.Option(help="Whose documents and graph: a slug such as `acme`.")]
Out = Annotated[
    str | None,
    typer.Option(metavar="DIRECTORY|s3://…", help="Where the graph's files go; KNOWLEDGE_HOME/exports by default."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Keep = Annotated[bool, typer.Option("--keep", help="Leave a stack that was started for this command running.")]
Execution = Annotated[str, typer.Argument(help="An execution's id (exe_…).", show_default=False)]


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
