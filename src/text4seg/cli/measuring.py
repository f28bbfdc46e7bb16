"""What `evaluate` and `score` share: their options, their checks, and how a report is shown."""

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

from text4seg.cli._console import UsageError, log, print_json, progress
from text4seg.core.errors import InputError, UnknownNameError
from text4seg.core.files import write_atomically
from text4seg.data import READERS
from text4seg.evaluation.page import OpenImage, to_html
from text4seg.evaluation.report import Table, Task, tables, to_markdown
from text4seg.evaluation.rows import Row
from text4seg.evaluation.run import Question, Share

TASKS: tuple[Task, ...] = get_args(Task)

DataOption = Annotated[
    Path | None, typer.Option("--data", help="The data set: a questions file, or as --layout says.")
]
ImagesOption = Annotated[
    Path | None, typer.Option("--images", help="The folder that image paths start from.")
]
LayoutOption = Annotated[str, typer.Option("--layout", help=f"One of {', '.join(READERS)}.")]
SplitOption = Annotated[str | None, typer.Option("--split", help="The part of the data set.")]
ReaderOption = Annotated[
    list[str] | None,
    typer.Option("--option", help="An option of the layout, NAME=VALUE; repeatable."),
]
EmptyBelowOption = Annotated[
    int | None,
    typer.Option(
        "--empty-below",
        min=1,
        help="Fewer pixels are an empty answer: 1, for gres 50 by default.",
    ),
]
OutlineOption = Annotated[
    bool, typer.Option("--outline", help="Measure boundary F too (some milliseconds each).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


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
    """Read `NAME=VALUE`s; raises `UsageError`."""
    options = {}
    for text in given or []:
        name, sign, value = text.partition("=")
        if not sign:
            raise UsageError(f"--option is written NAME=VALUE, got {text!r}")
        options[name] = value
    return options


def images_of(data: Path, images: Path | None) -> Path:
    """The folder from which rows name images."""
    return images if images is not None else data if data.is_dir() else data.parent


@contextmanager
def processes(out: Path | None) -> Iterator[Share]:
    """This process's share; at the end of the block, the first waits for the others.

    Raises:
        UsageError: There are several processes and no folder to put their rows together in.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield Share()
        return
    if out is None:
        raise UsageError("several processes need a folder for their rows: give one with -o")
    import torch
    from accelerate import PartialState

    # On processors alone accelerate joins the processes only if it is told that it is so.
    state = PartialState(cpu=not torch.cuda.is_available())
    if state.num_processes != int(os.environ["WORLD_SIZE"]):
        # Otherwise every process would answer everything, into one file.
        raise InputError(
            f"the launcher started {os.environ['WORLD_SIZE']} processes and accelerate sees "
            f"{state.num_processes}: start them with `accelerate launch --multi_gpu`, or on a CPU "
            "with `torchrun`"
        )
    yield Share(state.process_index, state.num_processes)
    state.wait_for_everyone()
    state.destroy_process_group()


def opener(questions: list[Question]) -> OpenImage:
    """Opens the images of rows."""
    samples = {question.image: question.sample for question in questions}
    return lambda row: samples[row.image].open_image()


def write_report(
    folder: Path, report: dict[str, Any], rows: list[Row], open_image: OpenImage | None
) -> None:
    """Write `report.json`, `report.md` and `report.html`; raises `OutputError`."""
    with progress("report"):
        pages = {
            "report.json": json.dumps(report, indent=1) + "\n",
            "report.md": to_markdown(report),
            "report.html": to_html(report, rows, open_image),
        }
        for name, text in pages.items():
            write_atomically(folder / name, text.encode())
    log(f"wrote {', '.join(str(folder / name) for name in pages)}")


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
