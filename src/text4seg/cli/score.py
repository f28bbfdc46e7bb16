"""`text4seg score`: predictions from anywhere against true masks; no model is needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from text4seg.cli._console import log, progress, usage_errors
from text4seg.cli.measuring import (
    DataOption,
    EmptyBelowOption,
    ImagesOption,
    JsonOption,
    LayoutOption,
    OutlineOption,
    ReaderOption,
    SplitOption,
    check_places,
    check_task,
    images_of,
    opener,
    parse_options,
    show,
    write_report,
)
from text4seg.codec import get_format
from text4seg.core.errors import InputError, UnknownNameError
from text4seg.core.types import GridShape
from text4seg.data import Selection, read_dataset
from text4seg.evaluation.journal import write_run
from text4seg.evaluation.judge import Answer, Truth, judge
from text4seg.evaluation.predictions import Matcher, TextReader, read_pictures, read_predictions
from text4seg.evaluation.report import Settings, build
from text4seg.evaluation.rows import Row
from text4seg.evaluation.run import questions_of
from text4seg.metrics import GREFCOCO_EMPTY_BELOW

MISSING = ("error", "empty", "skip")


def score(
    predictions: Annotated[
        Path,
        typer.Argument(
            metavar="PREDICTIONS",
            help="JSON lines with masks (run lengths, polygons) or raw text; or a folder of PNGs.",
        ),
    ],
    data: DataOption = None,
    images: ImagesOption = None,
    layout: LayoutOption = "jsonl",
    split: SplitOption = None,
    option: ReaderOption = None,
    task: Annotated[
        str, typer.Option(help="What it is judged by: res, gres (targets may be absent) or rec.")
    ] = "res",
    empty_below: EmptyBelowOption = None,
    grid: Annotated[
        str | None, typer.Option(help="Rows x columns of raw text; needed to read it.")
    ] = None,
    format_name: Annotated[
        str, typer.Option("--format", help="sd, rle or rrle: the format of raw text.")
    ] = "rrle",
    missing: Annotated[
        str, typer.Option(help="Questions without a prediction: error, empty (an answer) or skip.")
    ] = "error",
    outline: OutlineOption = False,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write the rows and the reports there.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Score predictions of any model against true masks.

    \b
    text4seg score predictions.jsonl --data val.jsonl -o report/
    text4seg score masks/ --data val.jsonl
    text4seg score answers.jsonl --data val.jsonl --grid 16x16 --format rrle

    A prediction names its image and its expression as the truth does. Images are opened only for
    the pictures of the report, and only with --images.
    """  # noqa: D301 - the sign tells click to leave the lines alone
    with usage_errors():
        chosen = check_task(task)
        check_places(data, out, None)
        text = TextReader(GridShape.parse(grid), get_format(format_name)) if grid else None
        if missing not in MISSING:
            raise UnknownNameError("way to treat missing predictions", missing, MISSING)
        if not predictions.exists():
            raise InputError(f"there is no file or folder {predictions}")
    assert data is not None  # noqa: S101 - check_places refuses None; this tells mypy
    selection = Selection(strict=True, check_images=False)
    with progress("truth"):
        reading = read_dataset(
            layout, data, split=split, images=images, selection=selection,
            options=parse_options(option),
        )  # fmt: skip
        questions = list(questions_of(reading, root=images_of(data, images)))
        truths = [truth for question in questions for truth in question.truths()]
    if not truths:
        raise InputError(f"{data} holds no question")
    with progress("predictions"):
        if predictions.is_dir():
            answers = read_pictures(predictions, truths)
        else:
            ids = {q.sample.id: q.image for q in questions if q.sample.id}
            answers = read_predictions(predictions, Matcher(truths, ids), text=text)
    rows = _judged(truths, answers, missing, outline=outline)
    settings = Settings(
        chosen,
        empty_below or (GREFCOCO_EMPTY_BELOW if chosen == "gres" else 1),
        {
            "predictions": str(predictions),
            "data": str(data),
            "layout": layout,
            "split": split,
            "missing": len(truths) - len(answers),
        },
    )
    report = build(rows, settings)
    if out is not None:
        write_run(out, settings.run, rows)
        write_report(out, report, rows, opener(questions) if images is not None else None)
    show(report, as_json=as_json)


def _judged(
    truths: Sequence[Truth], answers: dict[int, Answer], missing: str, *, outline: bool
) -> list[Row]:
    lacking = len(truths) - len(answers)
    if lacking and missing == "error":
        first = next(truth for place, truth in enumerate(truths) if place not in answers)
        raise InputError(
            f"{lacking} of {len(truths)} questions have no prediction, the first is "
            f"{first.expression!r} of {first.image}: --missing empty counts them as empty answers, "
            "--missing skip leaves them out"
        )
    rows = []
    with progress("questions", len(truths)) as bar:
        for place, truth in enumerate(truths):
            bar.advance()
            if place in answers:
                rows.append(judge(truth, answers[place], outline=outline))
            elif missing == "empty":
                rows.append(judge(truth, Answer(None), outline=outline))
    if not rows:
        raise InputError("no question has a prediction")
    if lacking:
        what = "count as empty answers" if missing == "empty" else "are left out"
        log(f"{lacking} of {len(truths)} questions have no prediction and {what}")
    return rows
