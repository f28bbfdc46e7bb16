"""A recipe that trains a toy on the example images in seconds."""

from __future__ import annotations

from pathlib import Path

IMAGES = Path(__file__).parents[2] / "examples" / "photos"
QUESTIONS = IMAGES / "examples.jsonl"
RECIPE = """
model.folder = "{base}"
data = {{ train = "{images}/examples.jsonl", images = "{images}", grid = "4x4" }}
lora = {{ rank = 2, alpha = 4, dropout = 0.1 }}
report.every = 1

[training]
steps = 6
batch = 4
device_batch = 2
precision = "float32"
gradient_checkpointing = false
save_every = 2
"""


def write_recipe(folder: Path, base: Path) -> Path:
    """Write the recipe for a model's folder into another folder."""
    file = folder / "recipe.toml"
    file.write_text(RECIPE.format(base=base, images=IMAGES))
    return file
