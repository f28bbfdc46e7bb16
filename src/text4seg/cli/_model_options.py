"""Options that name a model, a format, a refiner or a drafter, and the loading of models."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from text4seg.cli._console import log, progress
from text4seg.cli._text_options import FORMATS_HELP, list_names
from text4seg.core.types import GridShape
from text4seg.decoding import DRAFTERS, DecodingOptions
from text4seg.models import is_nano
from text4seg.pretrained.weight_files import PARTS, fetch, part_path, weights_folder
from text4seg.refine import REFINERS
from text4seg.segmenter import Segmenter

ModelFormatOption = Annotated[
    str | None,
    typer.Option(
        "--format",
        help=f"{FORMATS_HELP}; by default what the model was trained with.",
        show_default=False,
    ),
]
ModelGridOption = Annotated[
    str | None,
    typer.Option(
        "--grid",
        help="Rows x columns; by default what the model was trained with (16x16).",
        show_default=False,
    ),
]
RefinerOption = Annotated[
    str,
    typer.Option(
        help=f"{list_names(REFINERS)}. A SAM takes a side, as in sam@768, or a model, as in "
        "sam2:FOLDER."
    ),
]
DraftOption = Annotated[
    str,
    typer.Option(help=f"Drafter: {list_names(DRAFTERS)}. Changes the time, never the mask."),
]
ModelOption = Annotated[str, typer.Option(help="A model's name or folder.")]


def load_segmenter(
    model: str,
    *,
    refiner: str = "none",
    grid: str | GridShape | None = None,
    format_name: str | None = None,
    options: DecodingOptions | None = None,
) -> Segmenter:
    """Load a model; on the first use of nano its pretrained parts are fetched.

    Args:
        model: A model's name or folder.
        refiner: As `get_refiner` reads it.
        grid: Rows x columns; None for the model's default.
        format_name: A text format; None for the model's default.
        options: How masks are decoded.

    Returns:
        The segmenter. Options that deviate from what the model was trained with are logged.
    """
    fetch_parts_of(model)
    with progress(f"loading {model}"):
        segmenter = Segmenter.from_pretrained(
            model,
            refiner=refiner,
            grid=grid,
            format=format_name,
            options=options,
        )
    for deviation in segmenter.deviations:
        log(f"note: {deviation}")
    return segmenter


def fetch_parts_of(model: str) -> None:
    """Fetch the pretrained parts that a model needs beside its own weights."""
    if is_nano(model):
        fetch_parts(weights_folder())


def fetch_parts(root: Path) -> None:
    """Fetch the parts that are missing or damaged into a folder."""
    missing = [part for name, part in PARTS.items() if not part_path(name, root).exists()]
    if missing:
        size = sum(part.size for part in missing) / 1e6
        log(f"fetching pretrained parts, {size:.0f} MB in all, into {root}")
    with progress("weights", len(PARTS)) as bar:
        for name in PARTS:
            fetch(name, root, progress=bar.describe)
            bar.advance()
