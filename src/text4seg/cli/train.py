"""`text4seg train`: a recipe in, a model that writes masks out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from text4seg.cli._console import log, print_json, progress, usage_errors
from text4seg.cli._model_options import fetch_parts
from text4seg.core.run_lengths import rle_to_mask
from text4seg.data import Sample
from text4seg.evaluation import ScoreRecord, evaluate, summarize
from text4seg.images import draw_overlay
from text4seg.models import is_nano
from text4seg.pretrained.weight_files import weights_folder
from text4seg.segmenter import Segmenter
from text4seg.training.conversations import read_validation
from text4seg.training.distributed import is_leading
from text4seg.training.recipe import Recipe, load_recipe

if TYPE_CHECKING:
    from PIL.Image import Image

    from text4seg.models import VisionLanguageModel
    from text4seg.training.callbacks import ValidationResult
    from text4seg.training.estimate import Estimate
    from text4seg.training.finetune import TrainResult

_DRAWN = 320  # pixels of a drawn image's longer side
_HALF = 127
# What is present and was answered empty, and what is absent and was answered empty.
_HEADS = {"IoU": "grid_iou", "missed": "miss_rate", "absent": "n_acc"}


def train(
    recipe: Annotated[Path, typer.Argument(help="The recipe, a TOML file.", show_default=False)],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change a key of the recipe; repeatable."),
    ] = None,
    plan: Annotated[
        bool, typer.Option("--plan", help="Say what it will take, load and train nothing.")
    ] = False,
    commands: Annotated[
        bool,
        typer.Option("--commands", help="Print the same training for ms-swift and LLaMA-Factory."),
    ] = False,
    samples: Annotated[
        Path | None,
        typer.Option(help="Write the samples for those trainers to this folder, train nothing."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Fine-tune a vision-language model to write masks.

    \b
    text4seg train recipes/own-data.toml --set data.train=mine.jsonl --plan
    text4seg train recipes/own-data.toml --set data.train=mine.jsonl

    A run that was stopped or killed goes on from its last checkpoint: run the same command again.
    """  # noqa: D301 - the sign tells click to leave the lines alone
    with usage_errors():
        read = load_recipe(recipe, changes or [])
    if commands:
        given = [word for change in changes or [] for word in ("--set", change)]
        _print_commands(read, ["text4seg", "train", str(recipe), *given], as_json=as_json)
    elif samples is not None:
        _write_samples(read, samples, as_json=as_json)
    elif plan:
        from text4seg.training.estimate import estimate as make_estimate

        with progress("planning"):
            made = make_estimate(read)
        if not is_leading():
            return
        print_json(made.to_dict()) if as_json else _print_plan(made)
    else:
        trained = _train(read)
        if not is_leading():
            return
        print_json({"folder": str(trained.folder), **_figures(trained)}) if as_json else (
            _print_trained(trained)
        )


def _train(recipe: Recipe) -> TrainResult:
    from text4seg.training.finetune import train as run

    asked = read_validation(recipe.data)
    if is_nano(recipe.model.folder):
        fetch_parts(weights_folder())
    total = sum(len(sample.targets) for sample in asked)

    def ask(
        chat: VisionLanguageModel, samples: Sequence[Sample], told: Callable[[], None]
    ) -> list[ScoreRecord]:
        segmenter = Segmenter(chat, grid=recipe.data.grid, format=recipe.data.format)
        return list(evaluate(segmenter, samples, on_record=lambda _: told()).records)

    def validate(chat: VisionLanguageModel) -> Mapping[str, Any]:
        with progress("validating", total) as bar:
            rows = ask(chat, asked, bar.advance)
        return {name: asdict(figures) for name, figures in summarize(rows).items()}

    def watch(chat: VisionLanguageModel) -> ValidationResult:
        from text4seg.training.callbacks import ValidationResult

        rows = ask(chat, sample_evenly(asked, recipe.report.questions), lambda: None)
        figures = {name: asdict(found) for name, found in summarize(rows).items()}
        return ValidationResult(figures, pictures_of(rows, asked, recipe.report.pictures))

    with progress("training", 1) as bar:

        def on_step(step: int, steps: int, figures: Mapping[str, float]) -> None:
            bar.resize(steps)
            bar.describe(f"training, loss {figures.get('loss', float('nan')):.3f}")
            bar.reach(step)

        return run(
            recipe,
            validate=validate if asked else None,
            watch=watch if asked else None,
            progress=on_step,
        )


def sample_evenly(samples: Sequence[Sample], count: int) -> list[Sample]:
    """So many questions, taken at even distances from all of them."""
    places = [(at, i) for at, sample in enumerate(samples) for i in range(len(sample.targets))]
    if not places:
        return []
    count = min(count, len(places))
    taken = [places[round(k * len(places) / count)] for k in range(count)]
    by_sample: dict[int, list[int]] = {}
    for at, i in taken:
        by_sample.setdefault(at, []).append(i)
    return [
        replace(samples[at], targets=tuple(samples[at].targets[i] for i in kept))
        for at, kept in by_sample.items()
    ]


def pictures_of(
    rows: Sequence[ScoreRecord], samples: Sequence[Sample], count: int
) -> list[tuple[str, Image]]:
    """The first images of which something is meant: the true mask, and beside it the answer."""
    import numpy as np
    import PIL.Image

    drawn: list[tuple[str, Image]] = []
    images = {sample.image.as_posix(): sample for sample in samples}
    for row in [row for row in rows if row.truth.mask is not None][:count]:
        image = images[row.truth.image].open_image()
        image.thumbnail((_DRAWN, _DRAWN))
        picture = PIL.Image.new("RGB", (2 * image.width, image.height))
        masks = (("true", row.truth.mask), ("answer", row.prediction.mask))
        for place, (what, rle) in enumerate(masks):
            mask = np.zeros((image.height, image.width), dtype=bool)
            if rle is not None:
                whole = PIL.Image.fromarray(rle_to_mask(rle).astype(np.uint8) * 255)
                mask = np.asarray(whole.resize(image.size)) > _HALF
            caption = f"{what}: {row.truth.expression}"
            picture.paste(draw_overlay(image, mask, caption=caption), (place * image.width, 0))
        drawn.append((f"{len(drawn)}", picture))
    return drawn


def _print_plan(plan: Estimate) -> None:
    giga = 1e9
    print(f"samples          {plan.samples:,} about {plan.images:,} images")
    print(f"steps            {plan.steps:,}")
    share = f", loss on {plan.loss_share:.0%}" if plan.loss_share else " of a question"
    print(f"tokens a sample  {plan.tokens:.0f} (longest {plan.longest}){share}")
    print(f"parameters       {plan.parameters / 1e6:,.1f} M, trained {plan.trained / 1e6:,.2f} M")
    print(f"memory           {plan.memory / giga:.2f} GB = weights {plan.weights / giga:.2f} "
          f"+ trained {plan.adapter / giga:.2f} "
          f"+ activations {plan.activations / giga:.2f}")  # fmt: skip
    print(f"time             {plan.hours:.2g} hours on {plan.device} (an estimate)")


def _figures(trained: TrainResult) -> dict[str, Any]:
    return {
        "steps": trained.steps,
        "seconds": trained.seconds,
        "loss": trained.loss,
        "choice": trained.choice.to_dict() if trained.choice else None,
        "aliases": dict(trained.aliases),
        "before": trained.before,
        "after": trained.after,
    }


def _print_trained(trained: TrainResult) -> None:
    log(f"{trained.steps} steps in {trained.seconds:.0f} s; wrote {trained.folder}")
    if trained.aliases:
        told = ", ".join(f"{word} as {name}" for word, name in sorted(trained.aliases.items()))
        log(f"reads {told}")
    if trained.choice:
        log(str(trained.choice))
    if not trained.after:
        return
    heads = "".join(f"{name + ' before':>18}{'after':>8}" for name in _HEADS)
    print(f"{'set':<20}{'questions':>10}{heads}")
    for name, after in trained.after.items():
        before = trained.before[name]
        cells = [f"{name:<20}{after['questions']:>10}"]
        for key in _HEADS.values():
            cells += [f"{_number(before[key]):>18}{_number(after[key]):>8}"]
        print("".join(cells))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _print_commands(recipe: Recipe, call: Sequence[str], *, as_json: bool) -> None:
    from text4seg.training.external.commands import external_commands

    found = external_commands(recipe, call)
    if as_json:
        print_json({"commands": dict(found.commands), "notes": list(found.notes)})
        return
    for name, command in found.commands.items():
        print(f"# {name}\n{command}\n")
    for note in found.notes:
        log(f"note: {note}")


def _write_samples(recipe: Recipe, folder: Path, *, as_json: bool) -> None:
    from text4seg.training.external.dataset import write_samples

    with progress("writing"):
        count = write_samples(recipe, folder)
    print_json({"folder": str(folder), "samples": count}) if as_json else (
        log(f"{count} samples, wrote {folder}")
    )
