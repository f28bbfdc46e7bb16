"""`text4seg score`: predictions from anywhere against true masks; no model is needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from text4seg import evaluation
from text4seg.cli._console import log, progress, usage_errors
from text4seg.cli._measuring import (
    BoundaryOption,
    DataOption,
    EmptyBelowOption,
    ImagesOption,
    JsonOption,
    LayoutOption,
    ReaderOption,
    SplitOption,
    check_places,
    image_opener,
    images_of,
    parse_options,
    parse_task,
    print_report,
    write_report,
)
from text4seg.cli._text_options import FormatOption
from text4seg.codec import get_format
from text4seg.core.errors import InputError, UnknownNameError
from text4seg.core.types import GridShape
from text4seg.data import Selection, read_dataset
from text4seg.evaluation import EvaluationOptions, TextReader
from text4seg.evaluation.journal import write_records
from text4seg.evaluation.scoring import MISSING

PredictionsArgument = Annotated[
    Path,
    typer.Argument(
        metavar="PREDICTIONS",
        help="JSON lines with masks (run lengths, polygons) or raw text; or a folder of PNGs.",
    ),
]
TaskOption = Annotated[
    str, typer.Option(help="What it is judged by: res, gres (targets may be absent) or rec.")
]
TextGridOption = Annotated[
    str | None, typer.Option("--grid", help="Rows x columns of raw text; needed to read it.")
]
MissingOption = Annotated[
    str, typer.Option(help=f"Questions without a prediction: {', '.join(MISSING)} (leave out).")
]
OutOption = Annotated[
    Path | None, typer.Option("--out", "-o", help="Write the records and the reports there.")
]


def score(
    predictions: PredictionsArgument,
    data: DataOption = None,
    images: ImagesOption = None,
    layout: LayoutOption = "jsonl",
    split: SplitOption = None,
    option: ReaderOption = None,
    task: TaskOption = "res",
    empty_below: EmptyBelowOption = None,
    grid: TextGridOption = None,
    format_name: FormatOption = "rrle",
    missing: MissingOption = "error",
    boundary: BoundaryOption = False,
    out: OutOption = None,
    as_json: JsonOption = False,
) -> None:
    """Score predictions of any model against true masks.

    \b
    text4seg score predictions.jsonl --data val.jsonl -o report/
    text4seg score masks/ --data val.jsonl
    text4seg score answers.jsonl --data val.jsonl --grid 16x16 --format rrle

    A prediction names its image and its expression as the data set does. Images are opened only
    for the pictures of the report, and only with --images.
    """  # noqa: D301 - the sign tells click to leave the lines alone
    with usage_errors():
        data = check_places(data, out, None)
        options = EvaluationOptions(
            parse_task(task), empty_below, boundary=boundary, root=images_of(data, images)
        )
        text = TextReader(GridShape.parse(grid), get_format(format_name)) if grid else None
        if missing not in MISSING:
            raise UnknownNameError("way to treat missing predictions", missing, MISSING)
        if not predictions.exists():
            raise InputError(f"there is no file or folder {predictions}")
    with progress("ground truth"):
        dataset = read_dataset(
            layout, data, split=split, images=images, options=parse_options(option),
            selection=Selection(strict=True, check_images=False),
        )  # fmt: skip
        samples = list(dataset)
    with progress("questions", sum(len(sample.targets) for sample in samples)) as bar:
        report = evaluation.score(
            predictions, samples, options=options, text=text, missing=missing,
            on_record=lambda _: bar.advance(),
        )  # fmt: skip
    run = {"predictions": str(predictions), "data": str(data), "layout": layout, "split": split}
    report = replace(report, run={**run, **report.run})
    if lacking := report.run["missing"]:
        what = "count as empty answers" if missing == "empty" else "are left out"
        log(f"{lacking} questions have no prediction and {what}")
    if out is not None:
        write_records(out, report.run, report.records)
        write_report(out, report, image_opener(samples, options.root) if images else None)
    print_report(report.to_json(), report.tables(), as_json=as_json)
