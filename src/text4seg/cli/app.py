"""The verbs, put together. One file a verb."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from text4seg import __version__
from text4seg.cli._console import UsageError
from text4seg.cli.ask import ask
from text4seg.cli.build import app as build_app
from text4seg.cli.convert import convert
from text4seg.cli.decode import decode
from text4seg.cli.encode import encode
from text4seg.cli.evaluate import evaluate_app
from text4seg.cli.export import export
from text4seg.cli.grammar import grammar
from text4seg.cli.score import score
from text4seg.cli.segment import segment
from text4seg.cli.train import train
from text4seg.cli.weights import weights

app = typer.Typer(
    name="text4seg",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in (segment, ask, encode, decode, convert, grammar, score, train, export, weights):
    app.command()(verb)
app.add_typer(evaluate_app, name="evaluate")
app.add_typer(build_app, name="build")


def _print_version(asked: bool) -> None:  # noqa: FBT001 - typer passes the flag by position
    if asked:
        print(f"text4seg {__version__}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
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


def run(arguments: Sequence[str] | None) -> int:
    """Carry out one call; errors come out as exceptions."""
    try:
        code = app(args=arguments, prog_name="text4seg", standalone_mode=False)
    except typer.TyperException as error:
        raise UsageError(error.format_message()) from error
    return code if isinstance(code, int) else 0
