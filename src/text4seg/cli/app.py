"""The application: finds the verbs and runs one of them.

A verb is a module of this package and a row in `VERBS`. The module holds a function of its own
name, or a typer application `app` where the verb has verbs of its own.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Annotated

import typer

from text4seg import __version__
from text4seg.cli._console import UsageError

VERBS = (
    "segment",
    "ask",
    "encode",
    "decode",
    "convert",
    "grammar",
    "evaluate",
    "score",
    "build",
    "train",
    "export",
    "weights",
)
"""The modules of the verbs, in the order of the help."""

HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}


def build_app(verbs: Iterable[str] = VERBS) -> typer.Typer:
    """Put the application together.

    Args:
        verbs: The verbs to import, of `VERBS`.

    Returns:
        The application.
    """
    app = typer.Typer(
        name="text4seg",
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        context_settings=HELP_OPTIONS,
    )
    app.callback(invoke_without_command=True)(text4seg)
    for verb in verbs:
        module = vars(import_module(f"text4seg.cli.{verb}"))
        if "app" in module:
            app.add_typer(module["app"], name=verb, context_settings=HELP_OPTIONS)
        else:
            app.command(verb)(module[verb])
    return app


def run(arguments: Sequence[str] | None) -> int:
    """Run one call.

    Args:
        arguments: The words after the program's name; None for those of the process.

    Returns:
        The exit code.

    Raises:
        UsageError: The call is wrong.
        Text4SegError: The verb failed.
    """
    words = sys.argv[1:] if arguments is None else arguments
    # The options before the verb take no values, so the first other word is the verb. Only its
    # module is imported; the others would cost every call their imports.
    verb = next((word for word in words if not word.startswith("-")), None)
    app = build_app([verb] if verb in VERBS else VERBS)
    try:
        code = app(args=list(words), prog_name="text4seg", standalone_mode=False)
    except typer.TyperException as error:
        raise UsageError(error.format_message()) from error
    return code if isinstance(code, int) else 0


def _print_version(asked: bool) -> None:  # noqa: FBT001 - typer passes the flag by position
    if asked:
        print(f"text4seg {__version__}")
        raise typer.Exit


def text4seg(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    """Segment images with a language model that writes the mask as text."""
    del version
    if context.invoked_subcommand is None:
        print(context.get_help(), file=sys.stderr)
        raise typer.Exit(2)
