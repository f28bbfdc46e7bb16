"""`text4seg build`: training samples from data sets with masks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from text4seg.cli._console import log, print_json, progress, usage_errors
from text4seg.cli._text_options import FormatOption, GridOption, list_names
from text4seg.core.coverage import get_rule
from text4seg.core.errors import InputError, MissingExtraError
from text4seg.core.types import GridShape
from text4seg.data import READERS, Selection, read_dataset
from text4seg.data.build import BuildPlan, build_dataset, count_parts
from text4seg.data.deduplication import hold_out_images
from text4seg.data.inspect import count_records, open_build, oracle_iou, write_sheet
from text4seg.data.mixture import PRESETS, get_mixture
from text4seg.data.schemas import SCHEMAS
from text4seg.data.shards import FILES
from text4seg.data.targets import TargetEncoder

app = typer.Typer(
    help="Build training samples from a data set with masks, and inspect them.",
    no_args_is_help=True,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command("data")
def build_data(
    reader: Annotated[str, typer.Argument(help="The layout; `build readers` lists them.")],
    path: Annotated[Path, typer.Argument(help="The folder or file of the annotations.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The folder to write.")],
    images: Annotated[Path | None, typer.Option(help="The folder of the images.")] = None,
    split: Annotated[str | None, typer.Option(help="The part of the data set.")] = None,
    classes: Annotated[
        str | None, typer.Option(help="Only these classes, with commas between them.")
    ] = None,
    min_area: Annotated[
        float, typer.Option(min=0, help="Least pixels of a mask; below 1, a share of the image.")
    ] = 0.0,
    limit: Annotated[int | None, typer.Option(min=1, help="The most images to use.")] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="An option of the layout, KEY=VALUE.")
    ] = None,
    preset: Annotated[str, typer.Option(help=f"{list_names(PRESETS)}.")] = "plain",
    turns: Annotated[int | None, typer.Option(min=1, help="Questions per conversation.")] = None,
    synonyms: Annotated[
        float | None, typer.Option(help="Share of questions that use another word.")
    ] = None,
    grid: GridOption = "16x16",
    format_name: FormatOption = "rrle",
    rule: Annotated[
        str, typer.Option(help="coverage; iou, which fits best; or center, as in the paper.")
    ] = "coverage",
    schema: Annotated[
        str, typer.Option(help=f"Whose records are written: {list_names(SCHEMAS)}.")
    ] = "trl",
    files: Annotated[str, typer.Option(help=f"{list_names(FILES)}.")] = "jsonl",
    embed: Annotated[bool, typer.Option("--embed", help="Images inside parquet files.")] = False,
    hold_out: Annotated[
        str | None,
        typer.Option(help="A split whose images are left out, by id and by look."),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The seed of every draw.")] = 0,
    processes: Annotated[int, typer.Option(min=1, help="The number of processes.")] = 1,
    part_size: Annotated[int, typer.Option(min=1, help="Images per file.")] = 1000,
    check_images: Annotated[
        bool,
        typer.Option("--check-images/--no-check-images", help="Check the header of each image."),
    ] = True,
    strict: Annotated[bool, typer.Option("--strict", help="Stop at the first fault.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Build training samples.

    The command can be interrupted: the same call again makes the missing parts.
    """
    with usage_errors():
        mixture = get_mixture(preset, reader)
        if turns is not None:
            mixture = replace(mixture, turns=turns)
        if synonyms is not None:
            mixture = replace(mixture, synonyms=synonyms)
        encoder = TargetEncoder(format_name, GridShape.parse(grid), get_rule(rule))
        plan = BuildPlan(mixture, encoder, schema, files, embed, seed, part_size)
        wanted = None if classes is None else tuple(one.strip() for one in classes.split(","))
        selection = Selection(wanted, min_area, limit, strict, check_images)
        options = dict(_option(one) for one in option or ())
    open_split = partial(read_dataset, reader, path, images=images, options=options)
    with progress("opening"):
        dataset = open_split(split=split, selection=selection)
        if hold_out is not None:
            kept = open_split(split=hold_out, selection=Selection(check_images=check_images))
            plan = replace(plan, held_out=hold_out_images(kept, by_look=check_images))
    with progress("parts", count_parts(dataset, plan)) as bar:
        manifest = build_dataset(
            dataset, out, plan=plan, processes=processes, on_part=lambda _: bar.advance()
        )
    told = {key: manifest[key] for key in ("samples", "questions", "kinds", "report")}
    if as_json:
        print_json({"out": str(out), **told})
        return
    print(f"{out}: {told['samples']} samples with {told['questions']} questions")
    _tell(told["report"])


def _option(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise InputError(f"--option is written KEY=VALUE, got {text!r}")
    return key, value


def _tell(report: dict[str, Any]) -> None:
    """Log what was left out or changed, with the first message of each kind."""
    for what in ("skipped", "mended", "filtered"):
        for kind, count in report[what].items():
            first = report["messages"].get(kind, [""])[0]
            log(f"{what}: {count} × {kind}{f', first: {first}' if first else ''}")


@app.command("readers")
def readers(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the layouts with their files and options."""
    if as_json:
        listed = [
            {"name": name, "summary": READERS.get_summary(name), "layout": one.layout,
             "splits": one.splits, "options": dict(one.options)}
            for name, one in READERS.items()
        ]  # fmt: skip
        print_json({"readers": listed})
        return
    for name, reader in READERS.items():
        print(f"{name} – {READERS.get_summary(name)}")
        for line in reader.layout.splitlines():
            print(f"    {line}")
        for key, about in reader.options.items():
            print(f"    --option {key}=…  {about}")


@app.command("inspect")
def inspect(
    folder: Annotated[Path, typer.Argument(help="The folder of a finished build.")],
    page: Annotated[
        Path | None, typer.Option("--html", help="Write a page with the figures and drawn samples.")
    ] = None,
    tokenizer: Annotated[
        Path | None, typer.Option(help="A tokenizer.json, to count the tokens of each sample.")
    ] = None,
    oracle: Annotated[
        int,
        typer.Option(
            min=0, help="Images on which the best IoU of the grid is measured; 0 for none."
        ),
    ] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Count what a build holds, and draw some samples, before training."""
    with usage_errors():
        tokens = None if tokenizer is None else _counter(tokenizer)
    built = open_build(folder)
    with progress("records"):
        figures = count_records(built, tokens).to_json()
        figures["kinds"] = built.manifest["kinds"]
        best = oracle_iou(built, images=oracle) if oracle else None
        figures["oracle_iou"] = None if best is None else best["mean"]
        figures["oracle_masks"] = None if best is None else best["masks"]
        if page is not None:
            figures["drawn"] = write_sheet(built, page, figures)
    if as_json:
        print_json({"folder": str(folder), **figures})
        return
    for key, value in figures.items():
        print(f"{key.replace('_', ' '):>22}  {value}")


def _counter(path: Path) -> Callable[[str], int]:
    """Make a function that counts the tokens of a text."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        raise MissingExtraError("tokenizers", "hf") from None
    if not path.is_file():
        raise InputError(f"there is no file {path}; a tokenizer.json is needed")
    try:
        made = Tokenizer.from_file(str(path))
    except Exception as error:
        raise InputError(f"{path} is no tokenizer.json: {error}") from error
    return lambda text: len(made.encode(text, add_special_tokens=False).ids)
