"""`text4seg segment`: masks of what expressions name in images."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from text4seg.cli._console import log, print_json, usage_errors
from text4seg.cli._image_arguments import QuestionKind, find_images, for_each_image, split_arguments
from text4seg.cli._model_options import (
    DraftOption,
    ModelFormatOption,
    ModelGridOption,
    ModelOption,
    RefinerOption,
    load_segmenter,
)
from text4seg.cli._terminal import print_grid, stats_line
from text4seg.codec import get_format
from text4seg.core.errors import InputError
from text4seg.core.files import mask_stem
from text4seg.core.types import GridShape
from text4seg.decoding import DRAFTERS, RUN_LENGTHS, DecodingOptions
from text4seg.refine import get_refiner
from text4seg.segmenter import Segmentation, Segmenter, check_expression

if TYPE_CHECKING:
    from text4seg.decoding.options import RunLengths

KIND = QuestionKind("expression", "-e", ("segment", "the dog"))


def segment(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE... EXPRESSION",
            help="Images or folders of them, then what to look for. With -e, images only.",
            show_default=False,
        ),
    ],
    expressions: Annotated[
        list[str] | None,
        typer.Option("--expression", "-e", help="What to look for; repeatable."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="Folder for the mask and overlay pictures (PNG)."),
    ] = None,
    grid: ModelGridOption = None,
    format_name: ModelFormatOption = None,
    refiner: RefinerOption = "none",
    model: ModelOption = "nano",
    draft: DraftOption = "auto",
    run_lengths: Annotated[
        str, typer.Option(help=f"How run lengths are taken: {' or '.join(RUN_LENGTHS)}.")
    ] = "likeliest",
    background_bias: Annotated[
        float,
        typer.Option(help="Added to the log-odds of background; below 0 marks more cells."),
    ] = 0.0,
    temperature: Annotated[
        float | None,
        typer.Option(
            help="Sample the mask instead of taking the likeliest: 1 samples the model's "
            "distribution, less stays nearer to the likeliest.",
            show_default=False,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed samples the same mask.")] = 0,
    samples: Annotated[
        int | None,
        typer.Option(
            help="Sample so many masks of each expression (at temperature 1 by default).",
            min=1,
            show_default=False,
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object for each image and expression.")
    ] = False,
) -> None:
    """Segment what an expression names in an image.

    \b
    text4seg segment cat.jpg "the cat" -o out/
    text4seg segment a.jpg b.jpg "the dog" -o out/
    text4seg segment images/ -e "the dog" -e "the ball" -o out/ --json

    An image is encoded once for all its expressions. Without -o no files are written. Images of a
    folder that cannot be read are skipped with a message, and the exit code is 1 at the end.
    """  # noqa: D301 - the sign tells click to leave the lines alone
    named, asked = split_arguments(arguments, expressions or [], KIND)
    with usage_errors():
        shape = None if grid is None else GridShape.parse(grid)
        get_refiner(refiner)
        DRAFTERS[draft]  # an unknown name is reported before the model is loaded
        options = DecodingOptions(
            draft, temperature, seed, cast("RunLengths", run_lengths), background_bias
        )
        options = options if samples is None else options.for_sample(0)
        if format_name is not None:
            get_format(format_name)
        for expression in asked:
            check_expression(expression)
        if out is not None and out.exists() and not out.is_dir():
            raise InputError(f"{out} is a file, and -o needs a folder")
    images = find_images(named, KIND)
    segmenter = load_segmenter(
        model,
        refiner=refiner,
        grid=shape,
        format_name=format_name,
        options=options,
    )
    stems = unique_stems(list(images), asked)

    def report(image: Path, answers: list[tuple[Segmentation, str]]) -> None:
        for segmentation, suffix in answers:
            stem = stems[image, segmentation.expression] + suffix
            files = segmentation.save(out, stem) if out is not None else ()
            _report(image, segmentation, files, as_json=as_json)

    for_each_image(images, lambda image: answer(segmenter, image, asked, samples), report)


def answer(
    segmenter: Segmenter, image: Path, expressions: list[str], samples: int | None
) -> list[tuple[Segmentation, str]]:
    """The segmentations of an image, each with the suffix of its file names."""
    if samples is None:
        return [(one, "") for one in segmenter.segment_many(image, expressions)]
    return [
        (one, f".{number}")
        for expression in expressions
        for number, one in enumerate(segmenter.sample(image, expression, samples), start=1)
    ]


def unique_stems(images: list[Path], expressions: list[str]) -> dict[tuple[Path, str], str]:
    """A file name for each image and expression; equal ones are numbered."""
    stems: dict[tuple[Path, str], str] = {}
    taken: set[str] = set()
    for image in images:
        for expression in expressions:
            stem = base = mask_stem(image, expression)
            number = 2
            while stem.casefold() in taken:
                stem, number = f"{base}-{number}", number + 1
            taken.add(stem.casefold())
            stems[image, expression] = stem
    return stems


def _report(
    image: Path, segmentation: Segmentation, files: tuple[Path, ...], *, as_json: bool
) -> None:
    for repair in segmentation.repairs:
        log(f"{image}: repaired {repair}")
    for note in segmentation.notes:
        log(f"{image}: {note}")
    if as_json:
        kinds = dict(zip(("mask", "overlay"), map(str, files), strict=False))
        print_json({"image": str(image), **segmentation.to_record(), "files": kinds})
        return
    print(f"{image}: {segmentation.expression}")
    if not get_format(segmentation.stats.format).syntax.covers_image:
        print(segmentation.text, end="")
    else:
        print_grid(segmentation.grid)
    print(stats_line(segmentation), flush=True)
    for file in files:
        log(f"wrote {file}")
