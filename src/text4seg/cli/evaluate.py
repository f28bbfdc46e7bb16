"""`text4seg evaluate`: a model against true masks."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from text4seg import __version__
from text4seg.cli._talk import checking_the_call, patience, print_json
from text4seg.cli.loading import REFINER_HELP, load_segmenter
from text4seg.codec import get_format
from text4seg.core.errors import InputError
from text4seg.core.files import write_atomically
from text4seg.core.rle import mask_to_rle
from text4seg.core.types import GridShape
from text4seg.data import Asked, Sample, read_jsonl
from text4seg.evaluation import Summary, summarise
from text4seg.evaluation import evaluate as run_evaluation
from text4seg.evaluation.report import COLUMNS, to_cells
from text4seg.refine import get_refiner
from text4seg.segmenter import Segmentation


def evaluate(
    data: Annotated[
        Path, typer.Option(help='Questions, one {"image", "expression", "mask", "set"} a line.')
    ],
    images: Annotated[Path, typer.Option(help="The folder that image paths start from.")],
    model: Annotated[str, typer.Option(help="A model's name or folder.")] = "nano",
    grid: Annotated[str, typer.Option(help="Rows x columns.")] = "16x16",
    format_name: Annotated[
        str | None,
        typer.Option("--format", help="sd, rle or rrle; by default what the model writes best."),
    ] = None,
    refiner: Annotated[str, typer.Option(help=REFINER_HELP)] = "none",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Ask only the first so many questions.")
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Write every answer to this file, one JSON object a line.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure a model on questions whose true masks are known."""
    with checking_the_call():
        shape = GridShape.parse(grid)
        get_refiner(refiner)
        if format_name is not None:
            get_format(format_name)
        if predictions is not None and predictions.is_dir():
            raise InputError(f"{predictions} is a folder, and --predictions needs a file")
    samples = read_jsonl(data, images, limit=limit)
    segmenter = load_segmenter(model, refiner=refiner, grid=shape, format_name=format_name)
    lines: list[str] = []
    count = sum(len(sample.asked) for sample in samples)
    with patience("questions", count) as bar:

        def on_answer(sample: Sample, asked: Asked, segmentation: Segmentation) -> None:
            bar.advance()
            if predictions is not None:
                lines.append(json.dumps(_prediction(sample, images, asked, segmentation)))

        summaries = summarise(run_evaluation(segmenter, samples, on_answer=on_answer))
    if predictions is not None:
        write_atomically(predictions, "".join(f"{line}\n" for line in lines).encode())
    if as_json:
        print_json(
            {
                "model": model,
                "data": str(data),
                "grid": str(shape),
                "format": segmenter.format.name,
                "refiner": refiner,
                "limit": limit,
                "versions": _versions(),
                "sets": {name: asdict(summary) for name, summary in summaries.items()},
            }
        )
    else:
        _print_table(summaries)


def _prediction(
    sample: Sample, images: Path, asked: Asked, segmentation: Segmentation
) -> dict[str, Any]:
    return {
        "image": str(sample.image.relative_to(images)),
        "expression": asked.expression,
        "set": asked.set,
        "mask": None if segmentation.empty else mask_to_rle(segmentation.mask),
        "text": segmentation.text,
        "score": segmentation.score,
        "validity": segmentation.validity,
    }


def _versions() -> dict[str, str]:
    versions = {"text4seg": __version__, "python": platform.python_version()}
    for package in ("torch", "transformers", "llguidance", "numpy", "pillow"):
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def _print_table(summaries: dict[str, Summary]) -> None:
    table = Table("figure", *summaries, box=None, pad_edge=False)
    rows = [to_cells(summary) for summary in summaries.values()]
    for heading, *values in zip((name for name, _ in COLUMNS.values()), *rows, strict=True):
        table.add_row(heading, *values)
    Console(soft_wrap=False).print(table)
