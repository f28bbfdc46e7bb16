"""Checkpoints that survive a kill at any moment: a run resumes from finished ones only.

The trainer writes a checkpoint file by file. When all of it is on disk, a mark is written beside it
in one move. A folder without its mark was left by a kill or a full disk, and is removed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from text4seg.core.errors import InputError
from text4seg.core.files import write_atomically
from text4seg.training.distributed import is_leading
from text4seg.training.recipe import Recipe

FOLDER, MARK, RECIPE = "checkpoints", "finished", "recipe.json"
ADAPTER, MERGED = "adapter", "merged"
"""Folders of a run that a `Segmenter` loads: LoRA weights, and the whole model."""
_NAME = re.compile(r"checkpoint-(\d+)")


class MarkFinished(TrainerCallback):
    """Marks each checkpoint when all processes have written their part of it."""

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ARG002
        """Write the mark once every file is on disk."""
        args.distributed_state.wait_for_everyone()
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        if state.is_world_process_zero and folder.is_dir():
            os.sync()  # a mark on disk before the files it speaks for would be a lie
            write_atomically(folder / MARK, b"")


def last_finished(output: Path) -> Path | None:
    """Find the newest finished checkpoint; the leading process removes unfinished ones."""
    found: dict[int, Path] = {}
    for folder in (output / FOLDER).glob("checkpoint-*"):
        match = _NAME.fullmatch(folder.name)
        if match and (folder / MARK).is_file():
            found[int(match[1])] = folder
        # One process removes it: the others would find it half gone.
        elif match and is_leading():
            shutil.rmtree(folder)
    return found[max(found)] if found else None


def lock_output_dir(output: Path, recipe: Recipe) -> None:
    """Reserve an output folder for a recipe: a new one, or one of the same recipe.

    A run that ended before its first checkpoint left nothing to protect: its folder is taken over.

    Args:
        output: The folder; made if it is missing.
        recipe: The recipe, which is written there.

    Raises:
        InputError: Another recipe was trained there; its keys that differ are named.
    """
    file = output / RECIPE
    mine = _comparable(recipe.to_dict())
    if file.is_file():
        theirs = _comparable(json.loads(file.read_text(encoding="utf-8")))
        differing = sorted(key for key in mine | theirs if mine.get(key) != theirs.get(key))
        # Without weights there is nothing that another recipe could mix with.
        if differing and (last_finished(output) or (output / ADAPTER).exists()):
            raise InputError(
                f"{output} holds a run of another recipe ({', '.join(differing)} differ): name "
                "another folder with --set output=FOLDER, or go on with the same recipe"
            )
    output.mkdir(parents=True, exist_ok=True)
    text = json.dumps(recipe.to_dict(), indent=2) + "\n"
    write_atomically(file, text.encode())


# What a resumed run may have changed without being another run.
_FREE = ("report", "output", "expected", "training.workers")


def _comparable(settings: dict[str, Any], section: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in settings.items():
        key = f"{section}{name}"
        if key in _FREE:
            continue
        if isinstance(value, dict):
            flat |= _comparable(value, f"{key}.")
        else:
            flat[key] = list(value) if isinstance(value, tuple) else value
    return flat
