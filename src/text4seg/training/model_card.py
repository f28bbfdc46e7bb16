"""What a trained folder says about itself: model card, recipe, versions, hashes of its data."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from text4seg.core.files import write_atomically

if TYPE_CHECKING:
    from text4seg.training.conversations import Chat
    from text4seg.training.finetune import TrainResult
    from text4seg.training.recipe import Recipe

CARD, PROVENANCE = "README.md", "provenance.json"
_PACKAGES = ("text4seg", "torch", "transformers", "trl", "peft", "accelerate", "datasets")


def provenance(recipe: Recipe, trained: TrainResult, chats: Sequence[Chat]) -> dict[str, Any]:
    """Everything that made the weights, for JSON."""
    files = [recipe.data.train, recipe.data.validation]
    return {
        "recipe": recipe.to_dict(),
        "data": {name: sha256(Path(name)) for name in files if name},
        "samples": len(chats),
        "images": len({chat.image for chat in chats}),
        "steps": trained.steps,
        "seconds": round(trained.seconds, 1),
        "loss": trained.loss,
        "choice": trained.choice.to_dict() if trained.choice else None,
        "aliases": dict(trained.aliases),
        "before": dict(trained.before),
        "after": dict(trained.after),
        "versions": versions(),
    }


def versions() -> dict[str, str | None]:
    """The installed versions of what trains; None for what is not installed."""
    return {name: version(name) for name in _PACKAGES}


def write_card(recipe: Recipe, trained: TrainResult, chats: Sequence[Chat]) -> None:
    """Write the card and the provenance into the trained folder."""
    told = provenance(recipe, trained, chats)
    text = json.dumps(told, indent=2) + "\n"
    write_atomically(trained.folder / PROVENANCE, text.encode())
    write_atomically(trained.folder / CARD, card(told).encode())


def card(told: dict[str, Any]) -> str:
    """The model card in Markdown."""
    data, model = told["recipe"]["data"], told["recipe"]["model"]
    lines = [
        "---",
        "library_name: transformers",
        "pipeline_tag: image-segmentation",
        "tags: [text4seg]",
        "---",
        "",
        "# Writes segmentation masks as text",
        "",
        f"Fine-tuned from `{Path(model['folder']).name}` on {told['samples']} answers about",
        f"{told['images']} images: {told['steps']} steps, format `{data['format']}`,",
        f"grid {data['grid']}.",
        "",
        "```python",
        "from text4seg import Segmenter",
        "",
        f'segmenter = Segmenter.from_pretrained("FOLDER", grid="{data["grid"]}")',
        'segmenter("image.jpg", "the dog").save("out", "image")',
        "```",
        "",
        *_table(told["before"], told["after"]),
        *_aliases(told["aliases"]),
        f"The recipe, the versions and the hashes of the data are in `{PROVENANCE}`.",
        "",
    ]
    return "\n".join(lines)


def _aliases(aliases: dict[str, str]) -> list[str]:
    if not aliases:
        return []
    told = ", ".join(f"{word} ({name})" for word, name in sorted(aliases.items()))
    return [f"Words that it reads as names that it knew: {told}.", ""]


def _table(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    if not after:
        return ["It was not validated.", ""]
    lines = [
        "| set | IoU, grid | before | present, missed | before | absent, left empty | before |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in after:
        cells = [name]
        for key in ("grid_iou", "miss_rate", "n_acc"):
            cells += [_figure(figures.get(name, {}).get(key)) for figures in (after, before)]
        lines.append(f"| {' | '.join(cells)} |")
    return [*lines, ""]


def _figure(value: Any) -> str:
    return "–" if value is None else f"{value:.3f}"


def sha256(file: Path) -> str:
    """The hash of a file's content; of a folder, that of its files' names and sizes."""
    if file.is_dir():
        files = sorted(path for path in file.rglob("*") if path.is_file())
        listed = "".join(f"{path.relative_to(file)}\t{path.stat().st_size}\n" for path in files)
        return hashlib.sha256(listed.encode()).hexdigest()
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def version(package: str) -> str | None:
    """The installed version of a package; None where it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
