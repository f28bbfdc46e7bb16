"""`text4seg train`: fine-tune a model by a recipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from text4seg.cli._console import log, print_json, progress, usage_errors
from text4seg.cli._model_options import fetch_parts_of
from text4seg.training.distributed import is_leading
from text4seg.training.recipe import Recipe, load_recipe

if TYPE_CHECKING:
    from text4seg.training.tuner import Estimate, TrainResult

# Columns of the printed table: what is there and was missed, what is absent and was left empty.
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
        _print_estimate(read, as_json=as_json)
    else:
        _train(read, as_json=as_json)


def _train(recipe: Recipe, *, as_json: bool) -> None:
    from text4seg.training.finetune import train as finetune

    fetch_parts_of(recipe.model.folder)
    with progress("training", 1) as bar:

        def show_step(step: int, steps: int, figures: Mapping[str, float]) -> None:
            bar.resize(steps)
            bar.describe(f"training, loss {figures.get('loss', float('nan')):.3f}")
            bar.reach(step)

        def show_answer(count: int, total: int) -> None:
            bar.resize(total)
            bar.describe("validating")
            bar.reach(count)

        result = finetune(recipe, progress=show_step, on_answer=show_answer)
    if is_leading():
        print_json(_record(result)) if as_json else _print_result(result)


def _record(result: TrainResult) -> dict[str, Any]:
    record = {**asdict(result), "folder": str(result.folder)}
    details = record.pop("details")
    return {**record, **details}


def _print_result(result: TrainResult) -> None:
    log(f"{result.steps} steps in {result.seconds:.0f} s; wrote {result.folder}")
    for note in result.notes:
        log(note)
    if not result.after:
        return
    heads = "".join(f"{name + ' before':>18}{'after':>8}" for name in _HEADS)
    print(f"{'set':<20}{'questions':>10}{heads}")
    for name, after in result.after.items():
        before = result.before[name]
        cells = [f"{name:<20}{after['questions']:>10}"]
        for key in _HEADS.values():
            cells += [f"{_number(before[key]):>18}{_number(after[key]):>8}"]
        print("".join(cells))


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _print_estimate(recipe: Recipe, *, as_json: bool) -> None:
    from text4seg.training.estimate import estimate

    with progress("planning"):
        found = estimate(recipe)
    if is_leading():
        print_json({**asdict(found), "memory": found.memory}) if as_json else _print_sizes(found)


def _print_sizes(found: Estimate) -> None:
    giga = 1e9
    print(f"samples          {found.samples:,} about {found.images:,} images")
    print(f"steps            {found.steps:,}")
    share = f", loss on {found.loss_share:.0%}" if found.loss_share else " of a question"
    print(f"tokens a sample  {found.tokens:.0f} (longest {found.longest}){share}")
    print(f"parameters       {found.parameters / 1e6:,.1f} M, "
          f"trained {found.trained / 1e6:,.2f} M")  # fmt: skip
    print(f"memory           {found.memory / giga:.2f} GB = weights {found.weights / giga:.2f} "
          f"+ trained {found.adapter / giga:.2f} "
          f"+ activations {found.activations / giga:.2f}")  # fmt: skip
    print(f"time             {found.hours:.2g} hours on {found.device} (an estimate)")


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
