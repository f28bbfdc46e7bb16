"""What `evaluate` and `score` share: their options, their checks, and how a report is shown."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from rich.table import Table as RichTable

from text4seg.cli._console import UsageError, log, print_json, progress
from text4seg.core.errors import InputError
from text4seg.data import READERS, Sample
from text4seg.evaluation.ground_truth import index_samples
from text4seg.evaluation.journal import Share
from text4seg.evaluation.page import OpenImage, save_report
from text4seg.evaluation.report import EvaluationOptions, Report, Table, Task

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
BoundaryOption = Annotated[
    bool, typer.Option("--boundary", help="Measure boundary F too (some milliseconds each).")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def parse_task(name: str) -> Task:
    """The task of that name; raises `UnknownNameError`."""
    return EvaluationOptions(cast("Task", name)).task


def check_places(data: Path | None, out: Path | None, predictions: Path | None) -> Path:
    """The data set; refuses what could only fail after hours of work with `InputError`."""
    if data is None:
        raise InputError("--data is missing: the data set to measure on")
    if predictions is not None and predictions.is_dir():
        raise InputError(f"{predictions} is a folder, and --predictions needs a file")
    if out is not None and out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file, and -o needs a folder")
    return data


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
    """The folder from which records name images."""
    return images if images is not None else data if data.is_dir() else data.parent


@contextmanager
def processes(out: Path | None) -> Iterator[Share]:
    """This process's share; at the end of the block, the first waits for the others.

    Raises:
        UsageError: There are several processes and no folder to put their records together in.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        yield Share()
        return
    if out is None:
        raise UsageError("several processes need a folder for their records: give one with -o")
    import torch
    from accelerate import PartialState

    # On processors alone accelerate joins the processes only if it is said so.
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


def image_opener(samples: Iterable[Sample], root: Path | None) -> OpenImage:
    """Opens the images of records."""
    opened = {one.image: one.sample for one in index_samples(samples, root=root)}
    return lambda record: opened[record.truth.image].open_image()


def write_report(folder: Path, report: Report, open_image: OpenImage | None) -> None:
    """Write the three reports and say where they are; raises `OutputError`."""
    with progress("report"):
        files = save_report(report, folder, open_image)
    log(f"wrote {', '.join(map(str, files))}")


def print_report(record: Mapping[str, Any], tables: Iterable[Table], *, as_json: bool) -> None:
    """Print a report: one JSON object, or its tables."""
    if as_json:
        print_json(record)
        return
    for table in tables:
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
