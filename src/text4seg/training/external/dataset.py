"""A recipe's samples for other trainers: chats about images that are squares already.

Other trainers keep an image's proportions or cut it into tiles. A square that the encoder takes as
it is leaves them nothing to do, so a cell of the grid stays where the text says it is.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from text4seg.core.errors import InputError, OutputError, UnknownNameError, WeightsError
from text4seg.models.defaults import ModelDefaults, read_json
from text4seg.models.families import get_family, square_side
from text4seg.training.chats import Chat, read_chats
from text4seg.training.tuner import find_tuner

if TYPE_CHECKING:
    from text4seg.models.families import Family
    from text4seg.training.recipe import Recipe

CHATS, DATASET = "chats.jsonl", "text4seg"
_MARK = "<image>"  # both trainers' place for an image
# Tells LLaMA-Factory where roles and contents stand in the chats.
_ENTRY: Mapping[str, Any] = {
    "file_name": CHATS,
    "formatting": "sharegpt",
    "columns": {"messages": "messages", "images": "images"},
    "tags": {
        "role_tag": "role",
        "content_tag": "content",
        "user_tag": "user",
        "assistant_tag": "assistant",
        "system_tag": "system",
    },
}


def family_and_side(recipe: Recipe) -> tuple[Family | None, int]:
    """Find out what the recipe's model sees.

    Args:
        recipe: The recipe.

    Returns:
        Its family, None where the table has none; and the side of its square in pixels.

    Raises:
        InputError: Other trainers do not know such models, or the family is unknown and the recipe
            has no `model.side`.
        WeightsError: The folder holds no model's configuration.
    """
    from transformers import AutoConfig

    from text4seg.models.hf.loading import CONFIG

    folder = Path(recipe.model.folder)
    # Asked first: the name of the embedded model is no folder to read.
    if not find_tuner(recipe.model.folder).portable:
        raise InputError(f"{folder} is trained by text4seg train alone")
    try:
        family = get_family(str(read_json(folder / CONFIG).get("model_type")))
    except UnknownNameError as error:
        if not recipe.model.side:
            raise InputError(
                f"{error}: --set model.side=PIXELS tells the side of the square that it sees"
            ) from error
        return None, recipe.model.side
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        side = recipe.model.side or ModelDefaults.load(folder).square or square_side(family, config)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{folder / CONFIG} configures no model: {error}") from error
    return family, side


def write_samples(recipe: Recipe, folder: Path) -> int:
    """Write what a recipe learns from as files of ms-swift and LLaMA-Factory.

    These are `chats.jsonl` with `images/` beside it, `dataset_info.json` for LLaMA-Factory, and
    `text4seg.json`, to be copied beside the adapter that is trained on them.

    Args:
        recipe: The recipe.
        folder: The folder to write; it may not hold anything.

    Returns:
        The number of samples.

    Raises:
        InputError: Data or images cannot be used, or `folder` holds something.
        OutputError: `folder` cannot be written; nothing is left of it.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} is there and not empty; name a folder that is not there yet")
    _, side = family_and_side(recipe)
    chats = read_chats(recipe.data.train, recipe.data)
    defaults = recipe.data.defaults(square=side)
    texts = {"dataset_info.json": json.dumps({DATASET: _ENTRY}, indent=2)}
    # Written beside its place and moved: a failure leaves nothing behind.
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as beside:
            made = Path(beside) / folder.name
            (made / "images").mkdir(parents=True)
            texts[CHATS] = "\n".join(_records(chats, made, folder.absolute(), side))
            defaults.save(made)
            for name, text in texts.items():
                (made / name).write_text(text + "\n", encoding="utf-8")
            if folder.is_dir():
                folder.rmdir()
            made.replace(folder)
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error
    return len(chats)


def _records(chats: Sequence[Chat], made: Path, folder: Path, side: int) -> list[str]:
    """Write the chats as JSON, and their images below `made`, which will become `folder`."""
    from text4seg.models.hf.prompter import stretch

    names: dict[tuple[Path, bytes | None], str] = {}
    records = []
    for chat in chats:
        # Many chats are about one image: it is written once.
        image = chat.image, chat.content
        if image not in names:
            names[image] = f"images/{len(names):06d}.png"
            stretch(chat.open_image(), side).save(made / names[image])
        messages = [
            {"role": message["role"], "content": _written(message)} for message in chat.messages
        ]
        # Absolute, as each trainer resolves relative paths from elsewhere.
        record = {"messages": messages, "images": [str(folder / names[image])]}
        records.append(json.dumps(record, ensure_ascii=False))
    return records


def _written(message: Mapping[str, Any]) -> str:
    parts = message["content"]
    return "".join(_MARK if part["type"] == "image" else part["text"] for part in parts)
