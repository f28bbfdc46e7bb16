"""What a trained folder says about itself: model card, recipe, versions, hashes of its data."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from text4seg.core.files import write_atomically

if TYPE_CHECKING:
    from text4seg.training.chats import Chat
    from text4seg.training.recipe import Recipe
    from text4seg.training.tuner import TrainResult

CARD, PROVENANCE = "README.md", "provenance.json"
_PACKAGES = ("text4seg", "torch", "transformers", "trl", "peft", "accelerate", "datasets")


def write_model_card(recipe: Recipe, result: TrainResult, chats: Sequence[Chat]) -> None:
    """Write `README.md` and `provenance.json` into the trained folder."""
    record = make_provenance(recipe, result, chats)
    text = json.dumps(record, indent=2) + "\n"
    write_atomically(result.folder / PROVENANCE, text.encode())
    write_atomically(result.folder / CARD, render_card(record).encode())


def make_provenance(recipe: Recipe, result: TrainResult, chats: Sequence[Chat]) -> dict[str, Any]:
    """Record everything that made the weights: recipe, hashes of the data, scores, versions."""
    files = [recipe.data.train, recipe.data.validation]
    return {
        "recipe": recipe.to_dict(),
        "data": {name: sha256(Path(name)) for name in files if name},
        "samples": len(chats),
        "images": len({chat.image for chat in chats}),
        "steps": result.steps,
        # Top-level keys, so that a kind of model can report under names of its own.
        **result.details,
        "seconds": round(result.seconds, 1),
        "loss": result.loss,
        "notes": list(result.notes),
        "before": dict(result.before),
        "after": dict(result.after),
        "versions": versions(),
    }


def render_card(record: Mapping[str, Any]) -> str:
    """Write the model card, in Markdown, of what `make_provenance` recorded."""
    data, model = record["recipe"]["data"], record["recipe"]["model"]
    lines = [
        # Metadata that the hub's model pages are found by.
        "---",
        "library_name: transformers",
        "pipeline_tag: image-segmentation",
        "tags: [text4seg]",
        "---",
        "",
        "# Writes segmentation masks as text",
        "",
        f"Fine-tuned from `{Path(model['folder']).name}` on {record['samples']} answers about",
        f"{record['images']} images: {record['steps']} steps, format `{data['format']}`,",
        f"grid {data['grid']}.",
        "",
        "```python",
        "from text4seg import Segmenter",
        "",
        'segmenter = Segmenter.from_pretrained("FOLDER")',
        'segmenter("image.jpg", "the dog").save("out", "image")',
        "```",
        "",
        *_table(record["before"], record["after"]),
        # Runs of earlier versions have no notes.
        *(f"- {note}" for note in record.get("notes", ())),
        "",
        f"The recipe, the versions and the hashes of the data are in `{PROVENANCE}`.",
        "",
    ]
    return "\n".join(lines)


def _table(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
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
    """Hash what a run learned from or wrote.

    Args:
        file: A file, or a folder.

    Returns:
        The SHA-256 of the file's content; of a folder, that of its files' names and sizes, as
        reading all images would take longer than some trainings.
    """
    # Names and sizes stand for a folder: hashing all its images may take longer than training.
    if file.is_dir():
        files = sorted(path for path in file.rglob("*") if path.is_file())
        listed = "".join(f"{path.relative_to(file)}\t{path.stat().st_size}\n" for path in files)
        return hashlib.sha256(listed.encode()).hexdigest()
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def versions() -> dict[str, str | None]:
    """Get the installed versions of what trains; None for what is not installed."""
    return {name: _version(name) for name in _PACKAGES}


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
