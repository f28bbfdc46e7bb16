"""`text4seg evaluate`: a model against true masks; `text4seg evaluate compare`: two runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, cast

import typer

from text4seg import evaluation
from text4seg.cli._console import UsageError, log, print_json, progress, usage_errors
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
    print_report,
    print_table,
    processes,
    write_report,
)
from text4seg.cli._model_options import (
    ModelFormatOption,
    ModelGridOption,
    ModelOption,
    RefinerOption,
    load_segmenter,
)
from text4seg.codec import get_format
from text4seg.core.errors import InputError, UnknownNameError
from text4seg.core.files import write_atomically
from text4seg.core.types import GridShape
from text4seg.data import Sample, Selection, read_dataset
from text4seg.evaluation import (
    ClassOptions,
    ClassReport,
    EvaluationOptions,
    Report,
    compare_runs,
    evaluate_classes,
)
from text4seg.evaluation.class_tasks import CLASS_TASKS, ClassTask, class_names
from text4seg.evaluation.journal import IMAGES, RECORDS, Journal, read_journal
from text4seg.evaluation.page import OpenImage
from text4seg.evaluation.report import TASKS, Task, tables_to_markdown
from text4seg.models import load_defaults
from text4seg.refine import get_refiner
from text4seg.segmenter import Segmenter

Settings = dict[str, Any]

app = typer.Typer(invoke_without_command=True, add_completion=False, rich_markup_mode=None)


TaskOption = Annotated[
    str,
    typer.Option(
        help="What it is judged by: res, gres (targets may be absent), rec; or, of data sets "
        "with classes, semantic (mIoU) and instances (AP)."
    ),
]
NamesOption = Annotated[
    str | None,
    typer.Option(help="semantic, instances: only these names, with commas between them."),
]
TogetherOption = Annotated[
    int, typer.Option(min=1, help="semantic: so many names in one question, if it knows how.")
]
LimitOption = Annotated[
    int | None,
    typer.Option(min=1, help="Ask only the first so many questions; of names, images."),
]
OutOption = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="Keep the run in this folder, go on with it, report."),
]
PredictionsOption = Annotated[
    Path | None, typer.Option(help="Write every answer to this file, one JSON object a line.")
]


@app.callback()
def evaluate(
    context: typer.Context,
    data: DataOption = None,
    images: ImagesOption = None,
    layout: LayoutOption = "jsonl",
    split: SplitOption = None,
    option: ReaderOption = None,
    task: TaskOption = "res",
    empty_below: EmptyBelowOption = None,
    names: NamesOption = None,
    together: TogetherOption = 1,
    model: ModelOption = "nano",
    grid: ModelGridOption = None,
    format_name: ModelFormatOption = None,
    refiner: RefinerOption = "none",
    limit: LimitOption = None,
    boundary: BoundaryOption = False,
    out: OutOption = None,
    predictions: PredictionsOption = None,
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
        shape = _check_model(grid, format_name, refiner)
        data = check_places(data, out, predictions)
        _check_task(task, names, together, predictions)
    run = {
        "model": model, "data": str(data), "layout": layout, "split": split,
        "grid": str(shape or load_defaults(model).grid), "format": format_name,
        "refiner": refiner, "limit": limit,
    }  # fmt: skip
    load = partial(load_segmenter, model, refiner=refiner, grid=shape, format_name=format_name)
    by_class = task in CLASS_TASKS
    dataset = read_dataset(
        layout, data, split=split, images=images, options=parse_options(option),
        selection=Selection(strict=True, limit=limit if by_class else None),
    )  # fmt: skip
    if not (samples := list(dataset)):
        raise InputError(f"{data} holds no question")
    if by_class:
        wanted = names if names is None else [name.strip() for name in names.split(",")]
        chosen = ClassOptions(cast("ClassTask", task), class_names(dataset, wanted), together)
        _show_classes(_evaluate_classes(samples, chosen, load, run, out), out, as_json=as_json)
        return
    root = images_of(data, images)
    options = EvaluationOptions(cast("Task", task), empty_below, boundary, limit, root)
    opener = image_opener(samples, root)
    _show(_evaluate(samples, options, load, run, out), opener, out, predictions, as_json=as_json)


def _check_model(grid: str | None, format_name: str | None, refiner: str) -> GridShape | None:
    """The grid; refuses what there is not before a model is loaded."""
    get_refiner(refiner)
    if format_name is not None:
        get_format(format_name)
    return None if grid is None else GridShape.parse(grid)


def _check_task(task: str, names: str | None, together: int, predictions: Path | None) -> None:
    """Refuse a task that there is not, and options that are another's."""
    if task not in CLASS_TASKS:
        if task not in TASKS:
            raise UnknownNameError("task", task, (*TASKS, *CLASS_TASKS))
        if names is not None or together > 1:
            raise UsageError("--names and --together are for the tasks semantic and instances")
    elif predictions is not None:
        raise UsageError(f"--predictions is not for the task {task}: its answers are kept with -o")
    elif together > 1 and task != "semantic":
        raise UsageError("--together is for the task semantic")


def _evaluate(
    samples: list[Sample],
    options: EvaluationOptions,
    load: Callable[[], Segmenter],
    run: Settings,
    out: Path | None,
) -> Report | None:
    """The report; None in all processes but the first."""
    count = sum(len(sample.targets) for sample in samples)
    settings = run | {"boundary": options.boundary}
    with processes(out) as share:
        journal = None
        if out is not None:
            journal = Journal.open(out, settings, kind=RECORDS, share=share)
        segmenter = load()
        with progress("questions", min(count, options.limit or count)) as bar:
            report = evaluation.evaluate(
                segmenter,
                samples,
                options=options,
                journal=journal,
                on_record=lambda _: bar.advance(share.of),
            )
    if share.process > 0:
        return None
    if out is not None:
        report = replace(report, records=list(read_journal(out, RECORDS)[1].values()))
    return replace(report, run={**run, **report.run})


def _evaluate_classes(
    samples: list[Sample],
    options: ClassOptions,
    load: Callable[[], Segmenter],
    run: Settings,
    out: Path | None,
) -> ClassReport | None:
    """The report of a task with names; None in all processes but the first."""
    run = run | {"data": Path(run["data"]).name}
    settings = run | asdict(options)
    with processes(out) as share:
        journal = None
        if out is not None:
            journal = Journal.open(out, settings, kind=IMAGES, share=share)
        segmenter = load()
        with progress("images", len(samples)) as bar:
            report = evaluate_classes(
                segmenter,
                samples,
                options=options,
                journal=journal,
                on_image=lambda: bar.advance(share.of),
            )
    if share.process > 0:
        return None
    if out is not None:
        report = replace(report, results=read_journal(out, IMAGES)[1])
    return replace(report, run=run)


def _show_classes(report: ClassReport | None, out: Path | None, *, as_json: bool) -> None:
    if report is None:
        return
    record, tables = report.to_json(), report.tables()
    if out is not None:
        write_atomically(out / "report.json", (json.dumps(record, indent=1) + "\n").encode())
        write_atomically(out / "report.md", tables_to_markdown(tables).encode())
        log(f"wrote {out / 'report.json'}, {out / 'report.md'}")
    print_report(record, tables, as_json=as_json)


@app.command("compare")
def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="The folder of a run.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="The folder of another run.")],
    empty_below: Annotated[int, typer.Option(min=1, help="Fewer pixels are an empty answer.")] = 1,
    as_json: JsonOption = False,
) -> None:
    """Compare two runs on the same questions: how much better is B, and is it chance?

    Differences have 95 % bootstrap intervals over images; p is that of a paired randomization
    test, which swaps the answers of A and B image by image.
    """
    ours, theirs = (list(read_journal(one, RECORDS)[1].values()) for one in (first, second))
    comparison = compare_runs(ours, theirs, empty_below=empty_below)
    if comparison.unpaired:
        log(f"{comparison.unpaired} questions were asked in one run only and are left out")
    if as_json:
        print_json({"a": str(first), "b": str(second), **comparison.to_json()})
        return
    for table in comparison.tables():
        print_table(table)


def _show(
    report: Report | None,
    opener: OpenImage,
    out: Path | None,
    predictions: Path | None,
    *,
    as_json: bool,
) -> None:
    if report is None:
        return
    if predictions is not None:
        _write_predictions(predictions, report)
    if out is not None:
        write_report(out, report, opener)
    print_report(report.to_json(), report.tables(), as_json=as_json)


def _write_predictions(path: Path, report: Report) -> None:
    """Write the file that `text4seg score` reads; raises `OutputError`."""
    lines = []
    for record in report.records:
        truth = record.truth
        named = {"image": truth.image, "expression": truth.expression, "set": truth.set}
        lines.append(json.dumps(named | record.prediction.to_json()) + "\n")
    write_atomically(path, "".join(lines).encode())
