"""Loss weights of run-length digits and background rows: how fast a toy model memorizes masks.

    python -m benchmarks.loss_weights [--steps 100] [--json FILE]

A toy model (SmolVLM's architecture, random weights) learns the four masks of the examples, once for
each setting, from the same weights with the same batches. The figure is the IoU of the cells it
writes after a number of steps: speed of learning, not quality on new images.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

IMAGES = Path(__file__).parents[1] / "examples" / "photos"
SETTINGS = {
    "as it is": (1.0, 1.0),
    "digits twice": (2.0, 1.0),
    "digits four times": (4.0, 1.0),
    "background rows a third": (1.0, 0.3),
    "both": (2.0, 0.3),
}
_GRID = "8x8"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--json", type=Path, help="write the figures here")
    arguments = parser.parse_args()
    rows = [
        {"setting": name, "seed": seed, **learn(weights, arguments.steps, seed)}
        for seed in range(arguments.seeds)
        for name, weights in SETTINGS.items()
    ]
    record = {"benchmark": "loss_weights", "steps": arguments.steps, "rows": rows}
    print(table(record))
    if arguments.json:
        arguments.json.write_text(json.dumps(record, indent=2) + "\n")


def learn(weights: tuple[float, float], steps: int, seed: int) -> dict[str, Any]:
    """Train a toy with these weights; the IoU of each mask that it then writes."""
    from tests.reference.small_families import Size, build
    from tests.reference.small_nano import small_tokenizer
    from text4seg.training.finetune import train
    from text4seg.training.recipe import load_recipe

    with tempfile.TemporaryDirectory() as work:
        size = Size(hidden=64, layers=2, vision=32, patches=4)
        folder = build("smolvlm", Path(work) / "base", small_tokenizer(), size=size, seed=seed)
        lines = [json.loads(line) for line in (IMAGES / "examples.jsonl").read_text().splitlines()]
        questions = Path(work) / "four.jsonl"
        present = [line for line in lines if line["mask"] is not None][:4]
        questions.write_text("\n".join(map(json.dumps, present)))
        file = Path(work) / "recipe.toml"
        file.write_text("")
        recipe = load_recipe(file, (
            f"model.folder={folder}", f"output={work}/run", f"data.train={questions}",
            f"data.images={IMAGES}", f"data.grid={_GRID}", "data.wordings=one", "lora.rank=16",
            "lora.alpha=32", "lora.dropout=0.0", f"training.steps={steps}", "training.batch=4",
            "training.device_batch=4", "training.learning_rate=5e-3", f"training.seed={seed}",
            "training.precision=float32", "training.gradient_checkpointing=false",
            f"training.save_every={steps}", f"loss.digits={weights[0]}",
            f"loss.background={weights[1]}",
        ))  # fmt: skip
        scores = ious(train(recipe).folder / "merged", questions)
    return {"digits": weights[0], "background": weights[1], "ious": scores}


def ious(folder: Path, questions: Path) -> list[float]:
    """IoU of cells of each mask that the model in a folder writes."""
    from text4seg.core.geometry import coverage_to_cells, mask_to_coverage
    from text4seg.core.types import GridShape
    from text4seg.data import read_jsonl
    from text4seg.metrics import iou
    from text4seg.models.hf.model import HFModel
    from text4seg.segmenter import Segmenter

    shape = GridShape.parse(_GRID)
    segmenter = Segmenter(HFModel.load(folder), grid=shape)
    scores = []
    for sample in read_jsonl(questions, IMAGES):
        image = Image.open(sample.image).convert("RGB")
        for asked in sample.targets:
            if asked.mask is not None:
                truth = coverage_to_cells(mask_to_coverage(asked.mask.to_mask(), shape))
                found = segmenter(image, asked.expression).grid.select(asked.expression)
                scores.append(float(iou(found, truth)))
    return scores


def table(record: dict[str, Any]) -> str:
    """The record as Markdown."""
    lines = ["| setting | digits | background rows | mean IoU | least |", "|---|---|---|---|---|"]
    for name, (digits, background) in SETTINGS.items():
        found = [row["ious"] for row in record["rows"] if row["setting"] == name]
        if found:
            mean, least = np.mean(found), np.mean([min(scores) for scores in found])
            lines.append(f"| {name} | {digits:g} | {background:g} | {mean:.3f} | {least:.3f} |")
    return "\n".join([*lines, "", f"{record['steps']} steps.", ""])


if __name__ == "__main__":
    main()
