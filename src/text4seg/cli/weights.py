"""`text4seg weights`: fetches, verifies and lists the pretrained parts of nano."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from text4seg.cli._console import log, print_json
from text4seg.cli._model_options import fetch_parts
from text4seg.core.errors import WeightsError
from text4seg.pretrained.weight_files import PARTS, Part, locate, part_path, weights_folder


def weights(
    fetch: Annotated[
        bool,
        typer.Option(
            "--fetch/--where",
            help="Fetch what is missing or damaged, or only list the parts.",
        ),
    ] = True,
    folder: Annotated[
        Path | None,
        typer.Option(help="The folder; by default $TEXT4SEG_WEIGHTS or one in the user's cache."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Fetch and verify the pretrained parts of nano.

    Each part is verified by its sha256; missing and damaged ones are fetched.
    """
    root = folder or weights_folder()
    if fetch:
        fetch_parts(root)
    states = {name: _state(part, root) for name, part in PARTS.items()}
    if as_json:
        print_json(
            {
                "folder": str(root),
                "parts": [
                    {
                        "name": name,
                        "what": PARTS[name].what,
                        "state": state,
                        "path": str(part_path(name, root)),
                        "bytes": PARTS[name].size,
                        "sha256": PARTS[name].sha256,
                        "license": PARTS[name].license,
                    }
                    for name, state in states.items()
                ],
            }
        )
        return
    print(root)
    width = max(map(len, states))
    for name, state in states.items():
        path = part_path(name, root).relative_to(root)
        print(f"  {name:{width}}  {state:8}  {PARTS[name].size / 1e6:6.1f} MB  {path}")
    if not fetch and set(states.values()) != {"verified"}:
        log("text4seg weights --fetch fetches what is missing or damaged")


def _state(part: Part, root: Path) -> str:
    try:
        locate(part.name, root)
    except WeightsError:
        return "damaged" if part_path(part.name, root).exists() else "missing"
    return "verified"
