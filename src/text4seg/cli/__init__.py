"""The command line: data to stdout, messages to stderr.

Exit codes: 0 success, 1 failure, 2 a wrong call, 130 interrupted.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from text4seg.core.errors import LabelError, MissingExtraError, Text4SegError, UnknownNameError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: The words after the program's name; None for those of the process.

    Returns:
        The exit code. Of an error that the user can mend, one sentence is written to stderr.
    """
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
        # A file name need not be valid text; one that is not is written with escapes.
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
        # The reader closed the pipe, as in `text4seg grammar … | head`. Python would fail again as
        # it flushes stdout at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
