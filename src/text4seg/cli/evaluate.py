"""`text4seg evaluate`: a model against true masks; `text4seg evaluate compare`: two runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from text4seg.cli._console import UsageError, log, print_json, progress, usage_errors
from text4seg.cli._model_options import (
    ModelFormatOption,
    ModelOption,
    RefinerOption,
    load_segmenter,
)
from text4seg.cli._text_options import GridOption
from text4seg.cli.measuring import (
    TASKS,
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
    print_table,
    processes,
    show,
    write_report,
)
from text4seg.cli.names import NAME_TASKS, NamesAsked, evaluate_names, split_names
from text4seg.codec import get_any_format
from text4seg.core.errors import InputError, UnknownNameError
from text4seg.core.files import write_atomically
from text4seg.core.types import GridShape
from text4seg.data import Selection, read_dataset
from text4seg.evaluation.compare import compare_runs
from text4seg.evaluation.journal import Journal, read_run
from text4seg.evaluation.report import Settings, build
from text4seg.evaluation.rows import Row
from text4seg.evaluation.run import Question, questions_of
from text4seg.evaluation.run import evaluate as run_evaluation
from text4seg.metrics import GREFCOCO_EMPTY_BELOW
from text4seg.refine import get_refiner
from text4seg.segmenter import Segmenter

app = typer.Typer(invoke_without_command=True, add_completion=False, rich_markup_mode=None)


@app.callback()
def evaluate(
    context: typer.Context,
    data: DataOption = None,
    images: ImagesOption = None,
    layout: LayoutOption = "jsonl",
    split: SplitOption = None,
    option: ReaderOption = None,
    task: Annotated[
        str,
        typer.Option(
            help="What it is judged by: res, gres (targets may be absent), rec; or, of data sets "
            "with classes, semantic (mIoU) and instances (AP)."
        ),
    ] = "res",
    empty_below: EmptyBelowOption = None,
    names: Annotated[
        str | None,
        typer.Option(help="semantic, instances: only these names, with commas between them."),
    ] = None,
    together: Annotated[
        int, typer.Option(min=1, help="semantic: so many names in one question, if it knows how.")
    ] = 1,
    model: ModelOption = "nano",
    grid: GridOption = "16x16",
    format_name: ModelFormatOption = None,
    refiner: RefinerOption = "none",
    limit: Annotated[
        int | None,
        typer.Option(min=1, help="Ask only the first so many questions; of names, images."),
    ] = None,
    outline: OutlineOption = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Keep the run in this folder, go on with it, report."),
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Write every answer to this file, one JSON object a line.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure a model on questions whose true masks are known.

    With -o the run survives being killed: the same call goes on where it stopped, and writes
    report.json, report.md and report.html at the end. Under `accelerate launch -m text4seg`, or
    torchrun, the processes share the images.
    """
    if context.invoked_subcommand is not None:
        return
    with usage_errors():
        shape = GridShape.parse(grid)
        get_refiner(refiner)
        if format_name is not None:
            get_any_format(format_name)
        check_places(data, out, predictions)
        _check_task(task, names, together, predictions)
    assert data is not None  # noqa: S101 - check_places refuses None; this tells mypy
    run = {
        "model": model,
        "data": str(data),
        "layout": layout,
        "split": split,
        "grid": str(shape),
        "format": format_name,
        "refiner": refiner,
        "limit": limit,
    }
    load = partial(load_segmenter, model, refiner=refiner, grid=shape, format_name=format_name)
    of_names = task in NAME_TASKS
    reading = read_dataset(
        layout, data, split=split, images=images, options=parse_options(option),
        selection=Selection(strict=True, limit=limit if of_names else None),
    )  # fmt: skip
    if of_names:
        asked = NamesAsked(task, split_names(names), together)
        kept = {**run, "data": data.name}
        evaluate_names(reading, asked, kept, load, out=out, as_json=as_json)
        return
    questions = list(questions_of(reading, root=images_of(data, images), limit=limit))
    if not questions:
        raise InputError(f"{data} holds no question")
    fewest = GREFCOCO_EMPTY_BELOW if task == "gres" else 1
    settings = Settings(check_task(task), empty_below or fewest, run)
    kept = {**run, "data": data.name, "outline": outline}
    answered = _answer(questions, load, kept, out)
    if answered is None:
        return
    rows, written_in = answered
    report = build(rows, settings) | {"format": written_in}
    if predictions is not None:
        write_atomically(predictions, "".join(f"{_prediction(row)}\n" for row in rows).encode())
    if out is not None:
        write_report(out, report, rows, opener(questions))
    show(report, as_json=as_json)


def _check_task(task: str, names: str | None, together: int, predictions: Path | None) -> None:
    """Refuse a task that there is not, and options that are another's."""
    if task not in NAME_TASKS:
        if task not in TASKS:
            raise UnknownNameError("task", task, (*TASKS, *NAME_TASKS))
        if names is not None or together > 1:
            raise UsageError("--names and --together are for the tasks semantic and instances")
    elif predictions is not None:
        raise UsageError(f"--predictions is not for the task {task}: its answers are kept with -o")
    elif together > 1 and task != "semantic":
        raise UsageError("--together is for the task semantic")


def _answer(
    questions: list[Question],
    load: Callable[[], Segmenter],
    kept: dict[str, Any],
    out: Path | None,
) -> tuple[list[Row], str] | None:
    """All rows and the format they were written in; None in all processes but the first."""
    with processes(out) as share:
        journal = None if out is None else Journal.open(out, kept, process=share.process)
        segmenter = load()
        count = sum(len(question.sample.targets) for question in questions)
        with progress("questions", count) as bar:
            rows = run_evaluation(
                segmenter,
                questions,
                journal=journal,
                share=share,
                outline=kept["outline"],
                on_row=lambda _: bar.advance(share.of),
            )
    if share.process > 0:
        return None
    return (rows if out is None else read_run(out)[1]), segmenter.format.name


@app.command("compare")
def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="The folder of a run.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="The folder of another run.")],
    empty_below: Annotated[int, typer.Option(min=1, help="Fewer pixels are an empty answer.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Compare two runs on the same questions: how much better is B, and is it chance?

    Differences have 95 % bootstrap intervals over images; p is that of a paired randomisation
    test, which swaps the answers of A and B image by image.
    """
    (_, ours), (_, theirs) = read_run(first), read_run(second)
    comparison = compare_runs(ours, theirs, empty_below=empty_below)
    if comparison.unpaired:
        log(f"{comparison.unpaired} questions were asked in one run only and are left out")
    if as_json:
        print_json({"a": str(first), "b": str(second), **comparison.to_json()})
        return
    for table in comparison.tables():
        print_table(table)


def _prediction(row: Row) -> str:
    return json.dumps(
        {
            "image": row.image,
            "expression": row.expression,
            "set": row.set,
            "mask": row.answer,
            "text": row.text,
            "score": row.score,
            "validity": row.validity,
            "tokens": row.tokens,
            "passes": row.passes,
            "seconds": row.seconds,
        }
    )
