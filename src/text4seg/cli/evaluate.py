"""`text4seg evaluate`: a model against true masks; `text4seg evaluate compare`: two runs."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, get_args

import typer
from rich.console import Console
from rich.table import Table as RichTable

from text4seg.cli._talk import CallError, checking_the_call, patience, print_json, say
from text4seg.cli.loading import REFINER_HELP, load_segmenter
from text4seg.codec import get_format
from text4seg.core.errors import InputError, UnknownNameError
from text4seg.core.files import write_atomically
from text4seg.core.types import GridShape
from text4seg.data import READERS, Selection, read
from text4seg.evaluation.compare import compare_runs
from text4seg.evaluation.journal import Journal, read_run
from text4seg.evaluation.page import OpenPhoto, to_html
from text4seg.evaluation.report import Settings, Table, Task, build, tables, to_markdown
from text4seg.evaluation.rows import Row
from text4seg.evaluation.run import Question, Share, questions_of
from text4seg.evaluation.run import evaluate as run_evaluation
from text4seg.metrics import GREFCOCO_EMPTY_BELOW
from text4seg.refine import get_refiner

evaluate_app = typer.Typer(invoke_without_command=True, add_completion=False, rich_markup_mode=None)

TASKS: tuple[Task, ...] = get_args(Task)


@evaluate_app.callback()
def evaluate(
    context: typer.Context,
    data: Annotated[
        Path | None, typer.Option(help="The data set: a questions file, or as --layout says.")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="The folder that image paths start from.")
    ] = None,
    layout: Annotated[str, typer.Option(help=f"One of {', '.join(READERS)}.")] = "jsonl",
    split: Annotated[str | None, typer.Option(help="The part of the data set.")] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="An option of the layout, NAME=VALUE; repeatable.")
    ] = None,
    task: Annotated[
        str, typer.Option(help="What it is judged by: res, gres (targets may be absent) or rec.")
    ] = "res",
    empty_below: Annotated[
        int | None,
        typer.Option(min=1, help="Fewer pixels are an empty answer: 1, for gres 50 by default."),
    ] = None,
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
    outline: Annotated[
        bool, typer.Option("--outline", help="Measure boundary F too (some milliseconds each).")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Keep the run in this folder, go on with it, report."),
    ] = None,
    predictions: Annotated[
        Path | None, typer.Option(help="Write every answer to this file, one JSON object a line.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure a model on questions whose true masks are known.

    With -o the run survives being killed: the same call goes on where it stopped, and writes
    report.json, report.md and report.html at the end. Under `accelerate launch -m text4seg` the
    processes share the photos.
    """
    if context.invoked_subcommand is not None:
        return
    with checking_the_call():
        shape = GridShape.parse(grid)
        get_refiner(refiner)
        if format_name is not None:
            get_format(format_name)
        chosen = check_task(task)
        check_places(data, out, predictions)
    assert data is not None  # noqa: S101 - check_places refuses None; this tells mypy
    selection = Selection(strict=True)
    reading = read(
        layout, data, split=split, images=images, select=selection, options=parse_options(option)
    )
    questions = list(questions_of(reading, root=photos_of(data, images), limit=limit))
    if not questions:
        raise InputError(f"{data} holds no question")
    settings = Settings(
        chosen,
        empty_below or (GREFCOCO_EMPTY_BELOW if chosen == "gres" else 1),
        {
            "model": model,
            "data": str(data),
            "layout": layout,
            "split": split,
            "grid": str(shape),
            "format": format_name,
            "refiner": refiner,
            "limit": limit,
        },
    )
    with processes(out) as share:
        journal = None
        if out is not None:
            kept = {**settings.run, "data": data.name, "outline": outline}
            journal = Journal.open(out, kept, process=share.process)
        segmenter = load_segmenter(model, refiner=refiner, grid=shape, format_name=format_name)
        count = sum(len(question.sample.asked) for question in questions)
        with patience("questions", count) as bar:
            rows = run_evaluation(
                segmenter,
                questions,
                journal=journal,
                share=share,
                outline=outline,
                on_row=lambda _: bar.advance(share.of),
            )
    if share.process > 0:
        return
    if out is not None:
        rows = read_run(out)[1]
    report = build(rows, settings) | {"format": segmenter.format.name}
    if predictions is not None:
        write_atomically(predictions, "".join(f"{_prediction(row)}\n" for row in rows).encode())
    if out is not None:
        write_report(out, report, rows, opener(questions))
    show(report, as_json=as_json)


@evaluate_app.command("compare")
def compare(
    first: Annotated[Path, typer.Argument(metavar="A", help="The folder of a run.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="The folder of another run.")],
    empty_below: Annotated[int, typer.Option(min=1, help="Fewer pixels are an empty answer.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare two runs on the same questions: how much better is B, and is it chance?

    Differences have 95 % bootstrap intervals over photos; p is that of a paired randomisation
    test, which swaps the answers of A and B photo by photo.
    """
    (_, ours), (_, theirs) = read_run(first), read_run(second)
    comparison = compare_runs(ours, theirs, empty_below=empty_below)
    if comparison.unpaired:
        say(f"{comparison.unpaired} questions were asked in one run only and are left out")
    if as_json:
        print_json({"a": str(first), "b": str(second), **comparison.to_json()})
        return
    for table in comparison.tables():
        print_table(table)


def check_task(name: str) -> Task:
    """The task of that name; raises `UnknownNameError`."""
    for task in TASKS:
        if task == name:
            return task
    raise UnknownNameError("task", name, TASKS)


def check_places(data: Path | None, out: Path | None, predictions: Path | None) -> None:
    """Refuse what could only fail after hours of work; raises `InputError`."""
    if data is None:
        raise InputError("--data is missing: the data set to measure on")
    if predictions is not None and predictions.is_dir():
        raise InputError(f"{predictions} is a folder, and --predictions needs a file")
    if out is not None and out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file, and -o needs a folder")


def parse_options(given: list[str] | None) -> dict[str, str]:
    """Read `NAME=VALUE`s; raises `CallError`."""
    options = {}
    for text in given or []:
        name, sign, value = text.partition("=")
        if not sign:
            raise CallError(f"--option is written NAME=VALUE, got {text!r}")
        options[name] = value
    return options


def photos_of(data: Path, images: Path | None) -> Path:
    """The folder from which rows name photos."""
    return images if images is not None else data if data.is_dir() else data.parent


@contextmanager
def processes(out: Path | None) -> Iterator[Share]:
    """This process's share; at the end of the block, the first waits for the others.

    Raises:
        CallError: There are several processes and no folder to put their rows together in.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield Share()
        return
    if out is None:
        raise CallError("several processes need a folder for their rows: give one with -o")
    from accelerate import PartialState

    state = PartialState()
    if state.num_processes != int(os.environ["WORLD_SIZE"]):
        # Otherwise every process would answer everything, into one file.
        raise InputError(
            f"the launcher started {os.environ['WORLD_SIZE']} processes and accelerate sees "
            f"{state.num_processes}: start them with `accelerate launch`, on a CPU with --multi_cpu"
        )
    yield Share(state.process_index, state.num_processes)
    state.wait_for_everyone()
    state.destroy_process_group()


def opener(questions: list[Question]) -> OpenPhoto:
    """Opens the photos of rows."""
    samples = {question.image: question.sample for question in questions}
    return lambda row: samples[row.image].open_image()


def write_report(
    folder: Path, report: dict[str, Any], rows: list[Row], open_photo: OpenPhoto | None
) -> None:
    """Write `report.json`, `report.md` and `report.html`; raises `OutputError`."""
    with patience("report"):
        pages = {
            "report.json": json.dumps(report, indent=1) + "\n",
            "report.md": to_markdown(report),
            "report.html": to_html(report, rows, open_photo),
        }
        for name, text in pages.items():
            write_atomically(folder / name, text.encode())
    say(f"wrote {', '.join(str(folder / name) for name in pages)}")


def show(report: dict[str, Any], *, as_json: bool) -> None:
    """Print a report: one JSON object, or its tables."""
    if as_json:
        print_json(report)
        return
    for table in tables(report):
        print_table(table)


def print_table(table: Table) -> None:
    """Print a table for people."""
    drawn = RichTable(*table.headings, box=None, pad_edge=False, title=None)
    for row in table.rows:
        drawn.add_row(*row)
    console = Console(soft_wrap=False, markup=False, highlight=False)
    console.print(f"{table.title}\n")
    console.print(drawn)
    if table.note:
        console.print(table.note)
    console.print()


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
