"""The command line: data to stdout, talk to stderr; exit codes 0, 1 (it failed), 2 (bad call)."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from text4seg.core.errors import LabelError, MissingExtraError, Text4SegError, UnknownNameError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; a user's error is one sentence on stderr."""
    try:
        from text4seg.cli._console import UsageError, one_line
        from text4seg.cli.app import run
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in ("typer", "rich"):
            raise
        print(f"error: {MissingExtraError(package, 'cli')}", file=sys.stderr)
        return 1
    if isinstance(sys.stdout, io.TextIOWrapper):
        # File names need not be text; where one is not, it is written with escapes.
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        return run(arguments)
    except UsageError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 2
    except Text4SegError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 2 if isinstance(error, LabelError | UnknownNameError) else 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader went away, as in `text4seg grammar … | head`: nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
