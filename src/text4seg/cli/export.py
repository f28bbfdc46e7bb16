"""`text4seg export`: write a trained model as one folder for servers."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from text4seg.cli._console import log, print_json, progress
from text4seg.core.errors import MissingExtraError


def export(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="MODEL", help="A run of text4seg train, a merged model or an adapter."
        ),
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Write a trained model as one folder for vLLM, SGLang and transformers.

    An adapter is merged. Printed are the commands that serve the folder and, where llama.cpp knows
    the architecture, those that convert it to GGUF.

    text4seg export runs/own-data --out my-model
    """
    try:
        from text4seg.training.merge_export import export as write

        with progress("exporting"):
            made = write(source, out)
    except ModuleNotFoundError as error:
        raise MissingExtraError(error.name or "torch", "hf") from error
    if as_json:
        print_json({**asdict(made), "folder": str(made.folder)})
        return
    log(f"{made.family}, wrote {made.folder}")
    for name, command in made.commands.items():
        print(f"# {name}\n{command}\n")
    for note in made.notes:
        log(f"note: {note}")
