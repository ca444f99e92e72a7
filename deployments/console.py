"""The door of the console script: what is slow to import is imported where Ctrl-C is already seen to."""

import sys

_INTERRUPTED = 130
"""What shells say of a command that SIGINT ended: 128 + 2."""


def main() -> None:
    """Run the command line; Ctrl-C is exit code 130, wherever it comes, and never a traceback."""
    try:
        from deployments.cli import main as run_command_line

        run_command_line()
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
